"""A card as C: comments, string literals, and macros with the names and numbers of an input or output."""

import textwrap

_COLUMNS = 100


def comment(card):
    """Returns the texts and figures of a card as one comment; "" if it has none."""
    head = " ".join(part for part in (card.name, card.version) if part)
    lines = [head] if head else []
    lines += [card.description] if card.description else []
    for title, text in (
        ("Author", card.author),
        ("License", card.license),
        ("Trained on", card.training_data),
    ):
        lines += [f"{title}: {text}"] if text else []
    lines += [f"{name}: {figure}" for name, figure in card.figures.items()]
    wrapped = [piece for line in lines for piece in _wrapped(line)]
    return "/* " + "\n * ".join(wrapped) + "\n */\n" if wrapped else ""


def _wrapped(text):
    for line in text.expandtabs().splitlines():
        yield from (
            _harmless(piece) for piece in textwrap.wrap(line, _COLUMNS, break_on_hyphens=False) or [""]
        )


def _harmless(line):
    """Returns a line of ASCII that neither ends the comment nor begins another, and does not end in a backslash."""
    plain = line.encode("ascii", "backslashreplace").decode()
    while any(pair in plain for pair in ("*/", "/*", "??")):
        plain = plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    plain = f" {plain}" if plain.startswith("/") else plain  # the line begins with a star
    return f"{plain} ." if plain.endswith("\\") else plain


def string(text):
    """Returns a C string literal with the UTF-8 of a text."""
    made = []
    for byte in text.encode():
        character = chr(byte)
        if character in '"\\?':  # of two question marks, a trigraph could begin
            made.append("\\" + character)
        elif character.isascii() and character.isprintable():
            made.append(character)
        else:
            made.append(f"\\{byte:03o}")
    return f'"{"".join(made)}"'


def initializer(macro, items):
    """Returns the definition of a macro that initializes an array."""
    lines = textwrap.wrap(", ".join(items), _COLUMNS) if all(" " not in item for item in items) else None
    if lines is None:  # a line break must not fall into a string
        lines = [item + "," for item in items[:-1]] + [items[-1]]
    if len(lines) == 1:
        return f"#define {macro} {{{lines[0]}}}"
    body = " \\\n".join(f"        {line}" for line in lines)
    return f"#define {macro} \\\n    {{ \\\n{body} \\\n    }}"

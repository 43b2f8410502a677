"""The text of the C header of a program: sizes, scales, the state, and the functions."""

import numpy as np

from keras_vrnn.firmware import words
from keras_vrnn.firmware.buffers import READ_BEYOND
from keras_vrnn.firmware.source import signature

_FLOAT = """\
#ifdef {upper}_FLOAT
/* Real numbers to integers and back. What is not finite must not be given. */
static inline int32_t {name}_rounded(float real, float scale, int32_t zero_point, int32_t low, int32_t most)
{{
    const float scaled = real / scale;
    const float shifted = scaled + (float)zero_point;
    int32_t whole;
    float rest;
    if (shifted <= (float)low) {{
        return low;
    }}
    if (shifted >= (float)most) {{
        return most;
    }}
    whole = (int32_t)scaled;
    rest = scaled - (float)whole;
    if (rest > 0.5f || (rest == 0.5f{halves})) {{
        ++whole;
    }} else if (rest < -0.5f || (rest == -0.5f{halves})) {{
        --whole;
    }}
    return whole + zero_point;
}}
{functions}#endif
"""

_NORMALIZE = """
/* All readings of an input, as the sensor gives them, to what the model takes. */
static inline void {name}_normalize_{edge}(const float *readings, {type} *x)
{{
    static const float mean[] = {stem}_MEAN;
    static const float deviation[] = {stem}_STD;
    int32_t k;
    for (k = 0; k < {stem}_SIZE; ++k) {{
        const float normal = (readings[k] - mean[k % {width}]) / deviation[k % {width}];
        x[k] = {value};
    }}
}}
"""


def header(program, name, origin):
    """Returns the text of `<name>.h`; arguments as for `source.source`."""
    upper = name.upper()
    parts = [
        f"{origin}\n{words.comment(program.card)}\n#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        _macros(program, upper),
        _described(program, upper),
        _state(program, name),
        _functions(program, name),
        _FLOAT.format(
            upper=upper,
            name=name,
            halves="" if program.halves_away else " && whole % 2 != 0",
            functions=_conveniences(program, name),
        ),
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {upper}_H */\n",
    ]
    return "\n".join(part for part in parts if part)


def _macros(program, upper):
    lines = ["/* real = scale * (integer - zero point); without a scale, integers are meant as they are. */"]
    for edge in program.inputs + program.outputs:
        stem = f"{upper}_{edge.argument.upper()}"
        lines.append(f"#define {stem}_SIZE {edge.view.size} /* {printable(edge.label)} */")
        if edge.format is not None:
            lines.append(f"#define {stem}_SCALE {literal(edge.format.scale)}")
            lines.append(f"#define {stem}_ZERO_POINT ({int(edge.format.zero_point)})")
    lines.append(
        f"#define {upper}_MULTIPLICATIONS {program.multiplications} /* multiply-accumulates of one call */"
    )
    return "\n".join(lines) + "\n"


def _described(program, upper):
    """The names and the normalization of a card, as macros: they take flash only where the program uses them."""
    card = program.card
    lines = [f"#define {upper}_VERSION {words.string(card.version)}"] if card.version else []
    labels = card.features | card.classes
    if labels:
        lines.append(
            "/* Names along the last axis, in UTF-8: static const char *const names[] = ..._NAMES; */"
        )
    for edge in program.inputs + program.outputs:
        names = (card.features if edge in program.inputs else card.classes).get(edge.label)
        if names:
            macro = f"{upper}_{edge.argument.upper()}_NAMES"
            lines.append(words.initializer(macro, [words.string(name) for name in names]))
    normalized = _normalized(program)
    if normalized:
        lines.append("/* The model was trained on (reading - mean) / std, along the last axis. */")
    for edge in normalized:
        for ending, numbers in (("MEAN", card.mean[edge.label]), ("STD", card.std[edge.label])):
            spread = [literal(n) for n in numbers * (edge.view.shape[-1] if len(numbers) == 1 else 1)]
            lines.append(words.initializer(f"{upper}_{edge.argument.upper()}_{ending}", spread))
    return "\n".join(lines) + "\n" if lines else ""


def _normalized(program):
    """The inputs whose normalization the card tells."""
    return [edge for edge in program.inputs if edge.label in program.card.mean]


def _state(program, name):
    members = [
        f"    {edge.type} {edge.argument}[{edge.view.size + READ_BEYOND}]; /* {printable(edge.label)} */"
        for edge in program.states
    ]
    kinds = sorted(program.scratch.items(), key=lambda item: -item[0].itemsize)
    members += [f"    {kind.name}_t work_{kind.name}[{size}];" for kind, size in kinds if size]
    members = members or ["    int8_t work_int8[1];"]
    what = "What lasts from step to step, and memory to work in" if program.states else "Memory to work in"
    return f"/* {what}. */\ntypedef struct {{\n" + "\n".join(members) + f"\n}} {name}_state;\n"


def _functions(program, name):
    text = ""
    if program.states:
        text += "/* Sets the states to where they begin. Call it before the first step. */\n"
        text += f"void {name}_reset({name}_state *state);\n\n"
    what = "one time step" if program.states else "a whole sequence"
    text += (
        f"/* Computes {what}. Arrays must not overlap. Returns 0, or 1 if an index is outside of its table:\n"
    )
    text += f" * then nothing has changed. */\n{signature(program, name)};\n"
    return text


def _conveniences(program, name):
    text = ""
    for edge in program.inputs + program.outputs:
        if edge.format is None:
            continue
        stem, limits = f"{name.upper()}_{edge.argument.upper()}", np.iinfo(edge.view.dtype)
        ends = f"{limits.min}, {limits.max}"
        if edge in program.inputs:
            text += (
                f"\nstatic inline {edge.type} {name}_quantize_{edge.argument}(float real)\n{{\n"
                f"    return ({edge.type}){name}_rounded(real, {stem}_SCALE, {stem}_ZERO_POINT, {ends});\n}}\n"
            )
        else:
            text += (
                f"\nstatic inline float {name}_dequantize_{edge.argument}({edge.type} held)\n{{\n"
                f"    return {stem}_SCALE * (float)(held - {stem}_ZERO_POINT);\n}}\n"
            )
    for edge in _normalized(program):
        text += _NORMALIZE.format(
            name=name,
            edge=edge.argument,
            stem=f"{name.upper()}_{edge.argument.upper()}",
            type=edge.type,
            width=edge.view.shape[-1],
            value=f"({edge.type})normal"
            if edge.format is None
            else f"{name}_quantize_{edge.argument}(normal)",
        )
    return text


def printable(label):
    """Returns a name of the file that cannot end the comment that it stands in."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "*/\\?" else "_" for c in label)


def literal(value):
    """Returns the shortest C literal of a float32."""
    digits = str(np.float32(value))
    return digits + ("f" if any(c in digits for c in ".e") else ".0f")

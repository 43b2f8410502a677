"""The code blocks of the documents, run the way a reader runs them: from the top of a page, in one namespace."""

import importlib.util
import re
import shlex
from pathlib import Path

from keras_vrnn import cli

ROOT = Path(__file__).parents[2]

# Pages give the path of a module from one of these; or it is not in this repository, or not yet.
SOURCES = [
    ROOT,
    ROOT / "tests",
    *(ROOT / "keras_vrnn" / folder for folder in (".", "tflite", "tflite/exporting")),
]
ELSEWHERE = {
    "tensorflow/lite/micro/tools/project_generation/create_tflm_tree.py",
}


def documents():
    """Every Markdown file of the checkout that people read, relative to the checkout."""
    folders = (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "export").rglob("*.md"))
    return sorted(page.relative_to(ROOT).as_posix() for folder in folders for page in folder)


def with_python():
    return [page for page in documents() if blocks(page, "python")]


def stem(page):
    return Path(page).stem.lower()


def blocks(page, *languages):
    """(language, lines of the page before the code, code) for each fenced block in one of `languages`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.finditer(rf"^```({'|'.join(languages)})\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [(fence[1], text.count("\n", 0, fence.start(2)), fence[2]) for fence in fences]


def headings(file):
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in found}


def run(page, **names):
    """Runs the `python` blocks of a page, and of its `sh` blocks each `keras-vrnn` command.

    A block below the comment `<!-- needs torch -->` is left out where that package is not installed.

    Args:
        page: path of the page, relative to the checkout.
        names: variables that the page takes for granted, such as the reader's data.

    Returns:
        All variables after the last block.
    """
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for language, line, code in blocks(page, "python", "sh"):
        needed = re.fullmatch(r"<!-- needs (\w+) -->", lines[line - 2])
        if needed and importlib.util.find_spec(needed[1]) is None:
            continue
        if language == "python":
            # Empty lines in front, so that a traceback shows the line of the page.
            exec(compile("\n" * line + code, str(ROOT / page), "exec"), names)
            continue
        for command in code.splitlines():
            program, *arguments = shlex.split(command, comments=True)
            assert program == "keras-vrnn", f"{page}: {program!r} is not a command of this package"
            assert cli.main(arguments) == 0, f"{page}: {command}"
    return names

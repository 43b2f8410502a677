"""What the site needs beyond MkDocs: files of the repository that pages link to, the notebook, and the commands' help.

On GitHub a page links to `../export/export_tflite.py`. MkDocs knows the files of docs/ only, so such a file is taken
along as `repository/export/export_tflite.py`, and the link is changed to it.
"""

import contextlib
import io
import os
import posixpath
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

from keras_vrnn import cli

sys.path.insert(0, str(Path(__file__).parent))
import page_notebook

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!https?://|#)([^)#\s]+)")


def on_config(config):
    """Puts every decision into the navigation."""
    (decisions,) = (section["Decisions"] for section in config.nav if "Decisions" in section)
    others = {path.relative_to(DOCS).as_posix() for path in (DOCS / "decisions").glob("*.md")} - set(
        decisions
    )
    decisions += sorted(others)
    return config


def on_files(files, config):
    """Adds the notebooks, and every file outside docs/ that a page, or such a file, links to."""
    for page in page_notebook.PAGES:
        content = page_notebook.text(DOCS / page)
        files.append(File.generated(config, str(Path(page).with_suffix(".ipynb")), content=content))
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    seen = set()
    while waiting:
        page = waiting.pop()
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target in seen or DOCS in target.parents or not target.is_file():
                continue
            seen.add(target)
            uri = "repository/" + target.relative_to(ROOT).as_posix()
            markdown = target.suffix == ".md"
            content = target.read_text(encoding="utf-8") if markdown else target.read_bytes()
            files.append(File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
            if markdown:
                waiting.append(target)
    return files


def on_page_markdown(markdown, page, config, files):
    """Points links at the places that the files have on the site."""
    own = page.file.src_uri
    if own == "api/cli.md":
        markdown += "".join(_help_of_commands())
    outside = own.startswith("repository/")
    place = (ROOT / own.removeprefix("repository/")) if outside else DOCS / own

    def moved(match):
        target = Path(os.path.normpath(place.parent / match[1]))
        if DOCS in target.parents:
            uri = target.relative_to(DOCS).as_posix()
        elif ROOT in target.parents:
            uri = "repository/" + target.relative_to(ROOT).as_posix()
        else:
            return match[1]
        return posixpath.relpath(uri, posixpath.dirname(own) or ".")

    return LINK.sub(moved, markdown)


def _help_of_commands():
    os.environ["COLUMNS"] = "100"  # argparse breaks lines there
    for name in (command.__name__.rpartition(".")[2] for command in cli._COMMANDS):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            cli.main([name, "--help"])
        yield f"\n## keras-vrnn {name}\n\n```text\n{printed.getvalue()}```\n"

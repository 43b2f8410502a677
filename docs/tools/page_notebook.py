"""A page of the documentation as a Jupyter notebook: its Python blocks become code cells, the rest is text.

python docs/tools/page_notebook.py docs/tutorial.md tutorial.ipynb
"""

import json
import re
import sys
from pathlib import Path

PAGES = ("tutorial.md", "sensor_csv.md")  # of docs/; `make docs` puts their notebooks beside them
FENCE = re.compile(r"^```python\n(.*?)^```\n", flags=re.MULTILINE | re.DOTALL)


def text(page, **sizes):
    """Returns the notebook as JSON.

    Args:
        page: path of the Markdown file.
        sizes: constants of the page and the values to use instead, such as EPOCHS=1 for a quick test.
    """
    markdown = Path(page).read_text(encoding="utf-8")
    for name, value in sizes.items():
        markdown, count = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", markdown, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"`{name}` must be set once in {page}. Found: {count} times")
    cells = []
    # The pattern has one group, so that text and code take turns.
    for number, part in enumerate(FENCE.split(markdown)):
        if part.strip():
            cells.append(_cell("code" if number % 2 else "markdown", part.strip("\n"), len(cells)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(kind, source, number):
    cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": source}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    Path(sys.argv[2]).write_text(text(sys.argv[1]), encoding="utf-8")

"""What mypy and pyright see of the package in a user's program: its types, and every mistake."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_vrnn as kv

PACKAGE = Path(kv.__file__).parent
PROGRAMS = Path(__file__).parent / "support" / "typing"
README = Path(__file__).parents[1] / "README.md"


# What the README's blocks take from the reader.
@pytest.fixture(scope="module", params=["mypy", "pyright"])
def reported(request, tmp_path_factory):
    """Runs a type checker as a user does, away from the checkout: program → numbers of lines with errors; output."""
    folder = tmp_path_factory.mktemp(request.param)
    for name in ("user.py", "mistakes.py"):
        (folder / name).write_text((PROGRAMS / name).read_text())
    if README.is_file():
        blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
        assert blocks
        (folder / "readme.py").write_text("\n".join(blocks))
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-keras.*]\nignore_missing_imports = True\n")
    command = [sys.executable, "-m", request.param]
    if request.param == "pyright":
        command += ["--pythonpath", sys.executable]
    programs = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(
        command + programs,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        # A proxy that refuses every connection: nothing may be downloaded.
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent), "https_proxy": "http://localhost:9"},
    )
    assert done.returncode == 1, done.stdout + done.stderr  # of the mistakes
    lines: dict[str, set[int]] = {name: set() for name in programs}
    for name, line in re.findall(r"(\w+\.py):(\d+)(?::\d+)?(?: -|:) error", done.stdout):
        lines[name].add(int(line))
    return lines, done.stdout


def test_program_without_mistakes_is_accepted(reported):
    lines, output = reported
    assert not lines["user.py"], output


def test_readme_is_accepted(reported):
    lines, output = reported
    if "readme.py" not in lines:
        pytest.skip("runs in the checkout only")
    assert not lines["readme.py"], output


def test_every_mistake_is_reported_and_nothing_else(reported):
    lines, output = reported
    text = (PROGRAMS / "mistakes.py").read_text()
    expected = {n for n, line in enumerate(text.splitlines(), start=1) if "# mistake" in line}
    assert lines["mistakes.py"] == expected, output


LAZY_PACKAGES = ["keras_vrnn", "keras_vrnn.tflite", "keras_vrnn.diagnostics", "keras_vrnn.compression"]


@pytest.mark.parametrize("name", LAZY_PACKAGES)
def test_type_checkers_see_the_names_that_are_loaded_on_first_use(name):
    """A lazy package lists its names twice: as imports for type checkers, and as a table for the running program."""
    module = importlib.import_module(name)
    tree = ast.parse(Path(module.__file__).read_text())
    (block,) = (each for each in tree.body if isinstance(each, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imported = {}
    for statement in block.body:
        for alias in statement.names:
            assert alias.name == alias.asname  # only `X as X` is exported from a typed package
            imported[alias.name] = statement.module
    (table,) = (each for each in ast.walk(block) if isinstance(each, ast.Dict))
    modules = ast.literal_eval(table)
    assert imported.keys() == modules.keys() == set(module.__all__) - {"__version__"}
    for public, source in modules.items():
        home = importlib.import_module(imported[public])
        # A package would look the name up in the table itself; a module may fetch it from another library.
        found = vars(home).get(public) if hasattr(home, "__path__") else getattr(home, public)
        expected = importlib.import_module(f"{imported[public]}.{public}") if found is None else found
        assert getattr(module, public) is expected, (public, source)


def test_every_lazy_package_is_among_those_tested():
    using = {
        ".".join(["keras_vrnn", *path.parent.relative_to(PACKAGE).parts])
        for path in PACKAGE.rglob("__init__.py")
        if "names_of(" in path.read_text()
    }
    assert using == set(LAZY_PACKAGES)

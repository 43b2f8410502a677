"""Imports run one way, from the command line down to the layers, and nothing that a device runs needs TensorFlow.

The source is read, not run, so that imports inside functions count too.
"""

import ast
import importlib
from pathlib import Path

import pytest

import keras_vrnn as kv

ROOT = Path(__file__).parents[1] / "keras_vrnn"

# Each room and the rooms that it may import, from the bottom up. `shared` are the modules beside the folders at the top
# of the package, which every room may import; `tflite.shared` are the modules beside the folders in tflite/.
LAYERS = ["native", "layers", "diagnostics", "training", "models", "compression"]
TFLITE = [f"tflite.{name}" for name in ("shared", "running", "micro", "inspecting", "exporting", "verifying")]
ROOMS = {
    "shared": [],
    "quantization": [],
    "native": [],
    "layers": ["native"],
    "diagnostics": ["native", "layers"],
    "training": ["native", "layers", "diagnostics"],
    "models": ["layers", "training"],
    "compression": ["quantization", "layers", "training", "models"],
    "tflite.shared": [],
    "tflite.running": ["quantization", "tflite.shared"],
    "tflite.micro": ["quantization", "tflite.shared", "tflite.running"],
    "tflite.inspecting": ["quantization", "tflite.shared", "tflite.running", "tflite.micro"],
    "tflite.exporting": ["quantization", *LAYERS, "tflite.shared", "tflite.running"],
    "tflite.verifying": ["quantization", *LAYERS, *TFLITE[:-1]],
    "firmware": ["quantization", "tflite.shared", "tflite.running", "tflite.micro"],
    "firmware.exporting": ["models", "tflite.exporting", "firmware"],
    "tflite": [*TFLITE, "firmware", "firmware.exporting"],
    "cli": [*LAYERS, *TFLITE, "firmware", "tflite"],
    "start": [*LAYERS, "tflite", "cli"],
}
START = ("keras_vrnn", "keras_vrnn.__main__")

# What runs where neither TensorFlow nor Keras is installed, together with all that it imports.
ON_A_DEVICE = (
    "quantization",
    "tflite.running",
    "tflite.inspecting",
    "tflite.reading",
    "firmware",
    "text",
    "symbols",
    "hypotheses",
)
# Imports them for a Keras model alone; a file becomes C without them (tests/cli/test_cli.py).
FOR_A_MODEL = {"keras_vrnn.firmware.exporting"}
FRAMEWORKS = {"keras", "tensorflow", "tf_keras"}


def source_files():
    paths = {path.relative_to(ROOT.parent).with_suffix(""): path for path in ROOT.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in paths.items()}


FILES = source_files()


class Imports(ast.NodeVisitor):
    """Every module that a file imports, at the top or inside a function; only not what type checkers alone read."""

    def __init__(self, path):
        self.found = set()
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_If(self, node):
        names = {getattr(part, "attr", getattr(part, "id", None)) for part in ast.walk(node.test)}
        for child in node.orelse if "TYPE_CHECKING" in names else [*node.body, *node.orelse]:
            self.visit(child)

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node):
        assert not node.level, "imports are absolute"
        members = {f"{node.module}.{alias.name}" for alias in node.names}
        self.found |= {member if member in FILES else node.module for member in members}


IMPORTS = {module: Imports(path).found for module, path in FILES.items()}


def room(module):
    if module in START:
        return "start"
    inside = module.removeprefix("keras_vrnn.")
    name = max((name for name in ROOMS if f"{inside}.".startswith(f"{name}.")), key=len, default="shared")
    return "tflite.shared" if name == "tflite" != inside else name


def members(name):
    modules = {module for module in FILES if f"{module}.".startswith(f"keras_vrnn.{name}.")}
    assert modules, f"{name} has moved: change this file and CONTRIBUTING"
    return modules


def ours(module):
    return {other for other in IMPORTS[module] if f"{other}.".startswith("keras_vrnn.")}


def everything_needed_by(module, found):
    """Follows a module's imports to the end, with the packages that Python runs before each of them."""
    found.add(module)
    parent = {module.rpartition(".")[0]} & set(FILES)
    for other in (IMPORTS.get(module, set()) | parent) - found:
        everything_needed_by(other, found)
    return found


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_only_rooms_below_its_own(module):
    here = room(module)
    allowed = {here, "shared", *ROOMS[here]}
    assert {other: room(other) for other in ours(module) if room(other) not in allowed} == {}


def test_rooms_are_listed_from_the_bottom_up():
    order = list(ROOMS)
    assert not [name for name, others in ROOMS.items() if set(others) - set(order[: order.index(name)])]


def test_capture_and_writing_meet_only_in_the_parts():
    capture, writing = members("tflite.exporting.capture"), members("tflite.exporting.writing")
    assert not set.union(*map(ours, capture)) & writing
    assert not set.union(*map(ours, writing)) & capture


def test_quantization_imports_nothing_of_this_package():
    quantization = members("quantization")
    assert set.union(*map(ours, quantization)) <= quantization


@pytest.mark.parametrize("name", ON_A_DEVICE)
def test_a_device_needs_neither_tensorflow_nor_keras(name):
    for module in members(name) - FOR_A_MODEL:
        needed = {other.partition(".")[0] for other in everything_needed_by(module, set())}
        assert not needed & FRAMEWORKS, module


def test_an_import_inside_a_function_counts(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    from keras_vrnn.tflite import reading\n    from keras_vrnn.tflite.reading import read\n"
    )
    assert Imports(file).found == {"typing", "keras_vrnn.tflite.reading"}


def test_no_module_hides_a_public_function():
    """Importing a subpackage sets an attribute on its parent: `tflite/export/` would take the place of `export`."""
    for module in sorted(set(FILES) - {"keras_vrnn.__main__"}):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != "jax":  # an optional backend; the modules for it are not public
                raise
    for package in (kv.tflite, kv.diagnostics):
        assert [name for name in package.__all__ if not callable(getattr(package, name))] == []

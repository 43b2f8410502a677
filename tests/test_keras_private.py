"""The private names of Keras and TensorFlow that the package uses are those on its list."""

import ast
import os
from pathlib import Path

import keras

import keras_vrnn
from keras_vrnn import _keras_private

PACKAGE = Path(keras_vrnn.__file__).parent


def private(name):
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__") and len(name) > 1


def names_in(tree):
    """Private names that a module reads from objects, and those that it defines."""
    used, defined = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            on_module = isinstance(node.value, ast.Name) and node.value.id in ("os", "sys")
            own = isinstance(node.ctx, ast.Store) and getattr(node.value, "id", "") in ("self", "cls")
            if not on_module:
                (defined if own else used).add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            used |= {
                each.value
                for each in node.args[1:2]
                if isinstance(each, ast.Constant) and private(each.value)
            }
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and private(node.name):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and private(node.id):
            defined.add(node.id)
        elif isinstance(node, ast.alias) and private(node.name.rpartition(".")[2]):
            defined.add(node.name.rpartition(".")[2])
    return used, defined


def package_names():
    used, defined = {}, set()
    for path in PACKAGE.rglob("*.py"):
        reads, defines = names_in(ast.parse(path.read_text(encoding="utf-8")))
        defined |= defines
        for name in reads:
            used.setdefault(name, []).append(os.fspath(path.relative_to(PACKAGE)))
    return used, defined


def test_every_private_name_of_others_is_listed_with_its_reason():
    used, defined = package_names()
    foreign = {name: paths for name, paths in used.items() if name not in defined}
    unlisted = {name: paths for name, paths in foreign.items() if name not in _keras_private.NAMES}
    assert not unlisted, "add each to keras_vrnn/_keras_private.py with its reason, or do without it"
    assert all(len(reason) > 20 for reason in _keras_private.NAMES.values())


def test_the_list_has_no_name_that_is_no_longer_used():
    used, defined = package_names()
    assert set(_keras_private.NAMES) <= set(used) | defined


def test_no_private_attribute_of_keras_is_overridden_by_accident():
    """A method of ours with a private name of Keras would replace it without a word."""
    _, defined = package_names()
    bases = (
        keras.Model,
        keras.Sequential,
        keras.layers.RNN,
        keras.layers.SimpleRNN,
        keras.layers.Bidirectional,
    )
    taken = {name for name in defined for base in bases if hasattr(base, name)}
    assert taken <= set(_keras_private.NAMES)


def test_flatten_layers_reaches_nested_layers():
    inner = keras.Sequential([keras.Input((4, 3)), keras.layers.Bidirectional(keras.layers.SimpleRNN(2))])
    outer = keras.Sequential([keras.Input((4, 3)), inner])
    kinds = {type(layer).__name__ for layer in _keras_private.flatten_layers(outer)}
    assert {"Sequential", "Bidirectional", "SimpleRNN"} <= kinds
    assert outer not in _keras_private.flatten_layers(outer)


def test_private_modules_are_imported_in_one_file():
    """And only when they are needed: `import keras_vrnn` must not load TensorFlow."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                ("tensorflow.", "keras.src")
            ):
                found.setdefault(path.name, []).extend(f"{node.module}.{alias.name}" for alias in node.names)
    assert {name: sorted(modules) for name, modules in found.items()} == {
        "_keras_private.py": sorted(_keras_private.MODULES)
    }
    assert "tensorflow" not in vars(_keras_private)
    assert all(len(reason) > 20 for reason in _keras_private.MODULES.values())

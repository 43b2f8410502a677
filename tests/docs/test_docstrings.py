"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import keras_vrnn


def modules_with_examples():
    for module in pkgutil.walk_packages(keras_vrnn.__path__, "keras_vrnn."):
        path = Path(importlib.util.find_spec(module.name).origin)
        if path.suffix == ".py" and ">>>" in path.read_text(encoding="utf-8"):
            yield module.name


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_of_module(name):
    module = importlib.import_module(name)
    names = {"np": np, "kv": keras_vrnn, "keras": importlib.import_module("keras")}
    failed, tried = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed

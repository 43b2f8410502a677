"""Names of a package that are loaded on first use."""

import sys
import types

import pytest

from keras_vrnn._lazy import names_of


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("lazy_package")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    table = {"dumps": "json", "decoder": "json.decoder", "missing": "json"}
    module.__all__, module.__getattr__, module.__dir__ = names_of(module.__name__, table)
    return module


def test_names_are_found_once_and_kept(package):
    import json

    assert "dumps" not in vars(package)
    assert package.dumps is json.dumps
    assert vars(package)["dumps"] is json.dumps
    assert package.decoder is json.decoder


def test_names_are_listed_in_order(package):
    assert package.__all__ == dir(package) == ["decoder", "dumps", "missing"]


def test_a_name_of_an_extra_that_is_not_installed_is_not_listed(package):
    table, extras = (
        {"dumps": "json", "loads": "json", "far": "no_such_package"},
        {"loads": "json", "far": "no_such_package"},
    )
    names, getattribute, listed = names_of(package.__name__, table, extras)
    assert names == listed() == ["dumps", "loads"]
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        getattribute("far")


@pytest.mark.parametrize("name", ["nothing", "missing"])
def test_an_unknown_name_is_an_attribute_error(package, name):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}'"):
        getattr(package, name)

"""Whether the library serves in this process, and why not."""

import pytest

from keras_vrnn import native
from keras_vrnn.native import library, sources


def test_the_switch_and_its_reason(native_on, monkeypatch):
    assert native.enabled()
    native.set_enabled(False)
    assert native.unavailable() == "switched off by `native.set_enabled(False)`"
    monkeypatch.setattr(library._Switch, "on", None)
    monkeypatch.setenv("KERAS_VRNN_NATIVE", "0")
    assert not native.enabled()
    assert native.unavailable() == "switched off by KERAS_VRNN_NATIVE=0"


def test_a_wrong_value_of_the_variable_is_an_error(monkeypatch):
    monkeypatch.setattr(library._Switch, "on", None)
    monkeypatch.setenv("KERAS_VRNN_NATIVE", "sse")
    with pytest.raises(ValueError, match=r"`KERAS_VRNN_NATIVE` must be one of .*'sse'.*0 turns"):
        native.unavailable()


def test_the_switch_takes_a_flag():
    with pytest.raises(ValueError, match=r"`on` must be True or False"):
        native.set_enabled("no")


def test_a_library_that_is_not_built_is_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(library._Switch, "on", True)
    monkeypatch.setattr(sources, "library", lambda: tmp_path / "none.so")
    library._load.cache_clear()
    try:
        assert native.unavailable().startswith("not built: run `make native`")
    finally:
        library._load.cache_clear()


def test_a_file_that_is_no_library_is_the_reason(monkeypatch, tmp_path):
    file = tmp_path / "broken.so"
    file.write_bytes(b"not a library")
    monkeypatch.setattr(library._Switch, "on", True)
    monkeypatch.setattr(sources, "library", lambda: file)
    library._load.cache_clear()
    try:
        assert native.unavailable().startswith("broken.so cannot be loaded:")
    finally:
        library._load.cache_clear()

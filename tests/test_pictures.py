"""What all pictures share: formats, paths, and the message without matplotlib."""

import sys

import pytest
from flows import gradient_flow_of, layer_flow

from keras_vrnn import _pictures as pictures

pytest.importorskip("matplotlib")


def draw(path):
    gradient_flow_of(layer_flow([1.0, 0.5, 0.25])).plot(path)


@pytest.mark.parametrize("name", ["flow", "flow.docx"])
def test_unknown_formats_are_named_before_drawing(tmp_path, name):
    with pytest.raises(
        ValueError, match=r"`path` must end in the format of the picture, one of .*png.* Received: path="
    ):
        draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        draw(tmp_path / "missing" / "flow.png")


def test_an_existing_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "flow.png"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"flow.png', which exists. Pass overwrite=True"):
        draw(path)
    assert path.read_text() == "precious"
    gradient_flow_of(layer_flow([1.0, 0.5])).plot(path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for run in (lambda: draw(None), lambda: pictures.check_path("flow.png", overwrite=False)):
        with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[plots\]'"):
            run()

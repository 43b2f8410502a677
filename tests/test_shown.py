"""Results show their text everywhere, and their picture in a notebook."""

import base64
import sys

import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn._shown import Shown


class Text(Shown):
    def __str__(self):
        return "error < 0.1\nsize   3"


def test_text_at_a_prompt_and_in_a_notebook():
    assert repr(Text()) == str(Text())
    assert Text()._repr_html_() == "<pre>error &lt; 0.1\nsize   3</pre>"


@pytest.fixture
def spectrum():
    layer = kv.VanillaRNN(4)
    layer.build((None, 5, 3))
    return kv.diagnostics.spectrum(layer, np.ones((2, 5, 3), "float32"))


def test_a_result_with_a_picture(spectrum):
    pytest.importorskip("matplotlib")
    text, _, picture = spectrum._repr_html_().partition('<img alt="" src="data:image/svg+xml;base64,')
    assert "spectral radius" in text
    assert b"<svg" in base64.b64decode(picture.removesuffix('">'))


def test_without_matplotlib_the_text_is_enough(spectrum, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert spectrum._repr_html_().endswith("</pre>")


@pytest.mark.parametrize(
    "result",
    [
        kv.tflite.ExportResult,
        kv.tflite.Seq2SeqExportResult,
        kv.tflite.Verification,
        kv.tflite.Inspection,
        kv.tflite.Benchmark,
        kv.diagnostics.GradientFlow,
        kv.diagnostics.Spectrum,
        kv.diagnostics.Verdict,
    ],
)
def test_every_result_shows_itself(result):
    assert result.__repr__ is Shown.__repr__
    assert result.__str__ is not object.__str__

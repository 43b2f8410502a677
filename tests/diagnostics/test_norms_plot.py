"""The pictures of gradient flow and of spectra, and what all pictures share."""

import sys

import keras
import numpy as np
import pytest
from flows import gradient_flow_of, layer_flow

import keras_vrnn as kv
from keras_vrnn import _pictures as figures
from keras_vrnn.diagnostics import plot_gradient_flow

pytest.importorskip("matplotlib")


def flow(*decays):
    return gradient_flow_of(*(layer_flow(decay, f"layer_{i}") for i, decay in enumerate(decays)))


FADING, LASTING = 0.5 ** np.arange(20.0), np.ones(20)


def test_a_line_for_each_layer_a_dot_at_each_horizon(tmp_path):
    figure = flow(FADING, LASTING).plot(tmp_path / "flow.png")
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    (axis,) = figure.axes
    assert axis.get_yscale() == "log"
    texts = [text.get_text() for text in axis.get_legend().get_texts()]
    assert texts == ["layer_0: 7 steps", "layer_1: all 20 steps", "1%"]
    fading, dot, lasting, _ = axis.get_lines()
    np.testing.assert_array_equal(fading.get_ydata(), FADING)
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (7, 0.5**7)
    np.testing.assert_array_equal(lasting.get_ydata(), LASTING)


def test_several_models_in_one_picture():
    figure = plot_gradient_flow({"tanh": flow(FADING), "deep": flow(LASTING, FADING)}, title="Two")
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts[:3] == ["tanh: 7 steps", "deep: layer_0: all 20 steps", "deep: layer_1: 7 steps"]
    assert figure.axes[0].get_title(loc="left") == "Two"


def test_what_a_log_axis_cannot_show_is_a_gap():
    figure = flow([1.0, 1e-3, 0.0, np.inf, np.nan]).plot()
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_array_equal(np.isnan(line.get_ydata()), [False, False, True, True, True])


def test_a_spectrum_with_data_and_without(tmp_path):
    layer = kv.VanillaRNN(6, recurrent_initializer=kv.initializers.SpectralRadius(0.9, seed=1), name="memory")
    layer.build((None, None, 2))
    kernel = kv.diagnostics.spectrum(layer)
    found = kv.diagnostics.spectrum(layer, np.random.default_rng(0).normal(size=(3, 10, 2)))
    figure = found.plot(tmp_path / "spectrum.svg")
    assert (tmp_path / "spectrum.svg").stat().st_size > 5000
    values, jacobians = figure.axes
    np.testing.assert_array_equal(values.get_lines()[0].get_ydata(), found.singular_values)
    median, bound, growth = jacobians.get_lines()
    np.testing.assert_array_equal(median.get_ydata(), np.median(found.jacobian_norms, axis=0))
    assert bound.get_ydata()[0] == found.bound
    assert growth.get_ydata()[0] == np.exp(found.lyapunov)
    assert values.get_title(loc="left") == "Spectrum of memory"
    assert len(kernel.plot().axes) == 1


def test_the_picture_of_norms_replaces_nothing_unasked(tmp_path):
    norms = kv.callbacks.GradientNorms()
    model = kv.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[norms])
    path = tmp_path / "norms.png"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"norms.png' exists. .* overwrite=True"):
        norms.plot(path)
    assert path.read_text() == "precious"
    norms.plot(path, overwrite=True)
    assert path.read_bytes().startswith(b"\x89PNG")


# Bad input.


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="`flows` must hold at least one GradientFlow"):
        plot_gradient_flow({})


@pytest.mark.parametrize("name", ["flow", "flow.docx"])
def test_unknown_formats_are_named_before_drawing(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in the format of the picture, one of .*png"):
        flow(FADING).plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        flow(FADING).plot(tmp_path / "missing" / "flow.png")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (flow(FADING).plot, lambda: figures.check_path("flow.png", overwrite=False)):
        with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[plots\]'"):
            draw()

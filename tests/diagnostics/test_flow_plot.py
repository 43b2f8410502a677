"""The picture of gradient flow."""

import numpy as np
import pytest
from flows import gradient_flow_of, layer_flow

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


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="`flows` must hold at least one GradientFlow"):
        plot_gradient_flow({})

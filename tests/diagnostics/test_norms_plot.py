"""The picture of gradient norms: nothing in it may be misread."""

import numpy as np
import pytest

from keras_vrnn.diagnostics.norms_plot import plot_gradient_norms
from keras_vrnn.training.settings import GradientSettings

pytest.importorskip("matplotlib")

CLIPS = GradientSettings(global_clipnorm=1.0)


def texts(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_both_norms_the_threshold_clipped_and_skipped_steps_and_every_variable(tmp_path):
    steps, norms = np.arange(1, 51), np.arange(1.0, 51)
    applied = steps != 10
    norms[9] = np.nan
    clipped_norms = np.where(applied, np.minimum(norms, 20), 0)
    settings = GradientSettings(global_clipnorm=20.0)
    figure = plot_gradient_norms(
        steps,
        norms,
        clipped_norms,
        applied=applied,
        variable_norms={"sequential/dense/kernel": norms},
        settings=settings,
        path=tmp_path / "norms.png",
    )
    assert (tmp_path / "norms.png").stat().st_size > 10_000
    above, below = figure.axes
    assert above.get_yscale() == below.get_yscale() == "log"
    assert texts(above) == [
        "before clipping",
        "after clipping",
        "global_clipnorm = 20",
        "clipped (30)",
        "skipped: not finite (1)",
    ]
    before, after, threshold, clipped, skipped = above.get_lines()
    np.testing.assert_array_equal(before.get_ydata(), norms)
    np.testing.assert_array_equal(after.get_ydata()[applied], clipped_norms[applied])
    assert set(threshold.get_ydata()) == {20.0}
    np.testing.assert_array_equal(clipped.get_xdata(), np.arange(21, 51))
    np.testing.assert_array_equal(skipped.get_xdata(), [10])
    assert texts(below) == ["sequential/dense/kernel"]
    assert above.get_title(loc="left") == "Gradient norms: 50 steps, 61% clipped, 1 skipped"


def test_where_a_point_is_several_steps_the_line_shows_the_largest_and_says_so():
    """One spike in 1,800 quiet steps: a median of 3 steps would draw it at 0.5, below the threshold."""
    norms = np.full(1800, 0.5)
    norms[700], norms[1200] = 6.76, np.nan
    applied = np.isfinite(norms)
    clipped_norms = np.minimum(norms, 1.0)
    figure = plot_gradient_norms(
        np.arange(1, 1801), norms, clipped_norms, applied=applied, settings=CLIPS, variable_norms={"w": norms}
    )
    above, below = figure.axes
    before, after, _, clipped, _ = above.get_lines()
    assert len(before.get_xdata()) == 600
    assert np.nanmax(before.get_ydata()) == np.nanmax(below.get_lines()[0].get_ydata()) == 6.76
    assert np.nanmax(after.get_ydata()) == 1.0
    np.testing.assert_array_equal(clipped.get_xdata(), [701])
    assert texts(above)[:2] == ["before clipping,\nlargest of 3 steps", "after clipping,\nlargest of 3 steps"]
    assert "largest of 23 steps; band: to the smallest" in below.get_ylabel()


def test_no_point_of_a_clipped_step_is_drawn_below_the_threshold():
    norms = np.exp(np.random.default_rng(0).normal(size=4321))
    figure = plot_gradient_norms(np.arange(4321), norms, np.minimum(norms, 1.0), settings=CLIPS)
    before, after, _, clipped = figure.axes[0].get_lines()
    per_point = 8
    for point in np.unique(clipped.get_xdata() // per_point):
        assert before.get_ydata()[point] > 1
    assert (before.get_ydata() >= after.get_ydata()).all()


def test_many_steps_and_variables_stay_readable():
    norms = np.exp(np.random.default_rng(0).normal(size=5000))
    variables = {f"layer_{i}/kernel": norms * (i + 1) for i in range(14)}
    figure = plot_gradient_norms(np.arange(1, 5001), norms, norms, variable_norms=variables)
    above, below = figure.axes
    assert len(above.get_lines()[0].get_xdata()) == 556, "of 9 steps each"
    assert len(above.collections) == 1, "the band"
    legend = below.get_legend()
    assert legend.get_title().get_text() == "largest 10 of 14 variables"
    assert legend.get_texts()[0].get_text() == "layer_13/kernel"


def test_no_steps():
    with pytest.raises(ValueError, match="no gradient norms to plot"):
        plot_gradient_norms([], [], [])

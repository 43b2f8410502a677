"""The picture of a spectrum."""

import numpy as np
import pytest

import keras_vrnn as kv

pytest.importorskip("matplotlib")


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

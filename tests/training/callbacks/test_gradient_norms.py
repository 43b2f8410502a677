"""GradientNorms: its tables and files."""

import sys

import numpy as np
import pytest
from trainings import batches, read_csv, train_recorded

import keras_vrnn as kv


def test_every_step_is_recorded_before_and_after_clipping():
    norms = kv.callbacks.GradientNorms()
    train_recorded(norms, bad=9, global_clipnorm=20.0)
    k = np.arange(1.0, 51)
    k[9] = np.nan
    np.testing.assert_array_equal(norms.steps, np.arange(1, 51))
    np.testing.assert_array_equal(norms.norms, k)
    np.testing.assert_array_equal(norms.clipped_norms, np.nan_to_num(np.minimum(k, 20)))
    np.testing.assert_array_equal(norms.applied, np.isfinite(k))
    (path,) = norms.variable_norms
    assert path.endswith("/kernel")
    np.testing.assert_array_equal(norms.variable_norms[path], k)
    # k · 20/k in float32.
    np.testing.assert_allclose(
        norms.clipped_variable_norms[path], np.nan_to_num(np.minimum(k, 20)), rtol=1e-6
    )


def test_per_variable_norms_can_be_left_out(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv", per_variable=False)
    train_recorded(norms)
    assert norms.variable_norms == {}
    assert read_csv(tmp_path / "norms.csv")[0] == ["step", "applied", "grad_norm", "clipped_grad_norm"]


def test_a_second_fit_continues_the_table(tmp_path):
    path = tmp_path / "norms.csv"
    norms = kv.callbacks.GradientNorms(csv=path)
    model = train_recorded(norms, count=5)
    x, y = batches(3)
    model.fit(x, y, batch_size=1, verbose=0)  # without the callback: not recorded
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[norms])
    assert norms.steps.tolist() == read_csv(path)[1][:, 0].tolist() == [1, 2, 3, 4, 5, 9, 10, 11]


def test_before_training_everything_is_empty():
    norms = kv.callbacks.GradientNorms()
    assert len(norms.steps) == len(norms.norms) == len(norms.to_numpy()) == 0
    with pytest.raises(ValueError, match="no gradient norms to plot"):
        norms.plot()


# Bad input.


@pytest.mark.parametrize("max_steps", [0, -1, 2.5, True])
def test_max_steps_must_be_a_positive_integer(max_steps):
    with pytest.raises(
        ValueError, match=rf"`max_steps` must be a positive integer. Received: max_steps={max_steps!r}"
    ):
        kv.callbacks.GradientNorms(max_steps=max_steps)


def test_csv_must_be_a_path():
    with pytest.raises(TypeError, match=r"`csv` must be the path of a file, or None. Received: csv=True"):
        kv.callbacks.GradientNorms(csv=True)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    norms = kv.callbacks.GradientNorms()
    train_recorded(norms, count=2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[plots\]'"):
        norms.plot()

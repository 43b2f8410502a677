"""Data from .npy and .npz files."""

import numpy as np
import pytest

from keras_vrnn.cli.loading import load_data


def test_arrays_and_archives(tmp_path):
    x, y = np.arange(6.0).reshape(2, 3), np.array([0, 1])
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "xy.npz", x=x, y=y)
    np.savez(tmp_path / "two.npz", a=x, b=x)
    found, labels = load_data(tmp_path / "x.npy")
    np.testing.assert_array_equal(found, x)
    assert labels is None
    found, labels = load_data(tmp_path / "xy.npz")
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal(labels, y)
    found, labels = load_data(tmp_path / "two.npz")
    assert sorted(found) == ["a", "b"]
    assert labels is None


def test_objects_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object))
    with pytest.raises(ValueError, match="`calibration_data` must be a NumPy file of plain arrays"):
        load_data(tmp_path / "objects.npy", "calibration_data")

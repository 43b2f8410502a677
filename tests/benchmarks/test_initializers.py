"""The measurement of initializers runs; how well anything learns is for its table."""

import importlib
from pathlib import Path

import numpy as np
import pytest

import keras_vrnn as kv

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the checkout only")


@pytest.fixture
def initializers(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.initializers")


def test_reach(initializers, monkeypatch):
    monkeypatch.setattr(initializers, "BACK", (10, 20, 39))
    *fading, largest = initializers.reach("tanh", kv.initializers.SpectralRadius(0.5), seed=0)
    assert 1 > fading[0] > fading[1] > fading[2] > 0
    assert 0 < largest < 1
    *kept, _ = initializers.reach("linear", "identity", seed=0)
    np.testing.assert_allclose(kept, 1, rtol=1e-5)  # float32


def test_accuracy(initializers):
    rng = np.random.default_rng(0)
    data = [(rng.uniform(size=(n, 64, 1)).astype("float32"), rng.integers(0, 10, n)) for n in (32, 360)]
    recurrent, kernel = initializers.IDENTITY[1](), initializers.normal(1.0)[1]()
    assert 0 <= initializers.accuracy("relu", recurrent, kernel, 1e-3, 0, 1, data) < 0.5


def test_digits(initializers):
    pytest.importorskip("sklearn")
    (x, y), (x_test, y_test) = initializers.digits()
    assert (x.shape, x_test.shape) == ((1437, 64, 1), (360, 64, 1))
    assert (x.min(), x.max()) == (0, 1)
    assert len(set(y)) == len(set(y_test)) == 10

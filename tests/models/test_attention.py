"""Additive attention against its equation in NumPy."""

import keras
import numpy as np
import pytest

from keras_vrnn.models import AdditiveAttention

RNG = np.random.default_rng(0)
QUERY, MEMORY = (RNG.normal(size=s).astype("float32") for s in ((2, 3, 4), (2, 5, 6)))
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], bool)


def built():
    layer = AdditiveAttention(7)
    layer(QUERY, MEMORY)
    layer.set_weights([RNG.normal(size=w.shape) for w in layer.weights])
    return layer


def by_hand(layer, mask):
    w_q, b_q, w_k, v = layer.get_weights()
    e = np.tanh((QUERY @ w_q + b_q)[:, :, None] + (MEMORY @ w_k)[:, None]) @ v[:, 0]
    if mask is not None:
        e = np.where(mask[:, None], e, -np.inf)
    a = np.exp(e - e.max(-1, keepdims=True))
    return (a / a.sum(-1, keepdims=True)) @ MEMORY


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
def test_equals_the_equation(mask):
    layer = built()
    # float32, means of values of about 1.
    np.testing.assert_allclose(layer(QUERY, MEMORY, source_mask=mask), by_hand(layer, mask), atol=1e-5)
    keys = layer.keys(MEMORY)
    np.testing.assert_allclose(layer(QUERY, MEMORY, keys, mask), by_hand(layer, mask), atol=1e-5)


def test_hidden_steps_change_nothing():
    layer = built()
    other = np.where(MASK[:, :, None], MEMORY, 1e3)
    np.testing.assert_array_equal(
        layer(QUERY, MEMORY, source_mask=MASK), layer(QUERY, other.astype("float32"), source_mask=MASK)
    )


def test_shape_and_config():
    layer = built()
    assert tuple(layer.compute_output_shape((2, 3, 4), (2, 5, 6))) == (2, 3, 6)
    assert AdditiveAttention.from_config(layer.get_config()).units == 7
    assert keras.saving.get_registered_object("keras_vrnn>AdditiveAttention") is AdditiveAttention
    with pytest.raises(ValueError, match="`units` must be a positive integer"):
        AdditiveAttention(0)

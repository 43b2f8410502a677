"""Copies have the weights and the learned state of a model, which stays as it is."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, half, small_model, trained

import keras_vrnn as kv
from keras_vrnn import compression

# float32 rounding of sums in another order over some steps.
ROUNDING = 1e-5


def test_what_a_normalization_has_learned_is_kept():
    normalization = kl.Normalization()
    normalization.adapt(5.0 + 3.0 * X)
    model = kv.Sequential([keras.Input((6, 3)), normalization, kl.GRU(4), kl.Dense(2)])
    copy = compression.prune(model, lambda step: (True, 0.5))
    np.testing.assert_allclose(copy(X), model(X), atol=ROUNDING)
    small = compression.prune_units(model, keep=1.0, data=X)
    np.testing.assert_allclose(small(X), model(X), atol=ROUNDING)


def test_the_model_itself_is_left_as_it_is():
    model = small_model()
    before = model.get_weights()
    trained(compression.prune(model, half))
    assert all(w.constraint is None for w in model.weights)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


class Subclassed(keras.Model):
    def __init__(self, size):
        super().__init__()
        self.rnn = kl.GRU(size)

    def call(self, x):
        return self.rnn(x)


def test_models_that_cannot_be_copied_are_refused_by_name():
    model = Subclassed(4)
    model(X)
    with pytest.raises(ValueError, match=r'Subclassed "subclassed.*" cannot be copied.*get_config'):
        compression.prune(model, half)

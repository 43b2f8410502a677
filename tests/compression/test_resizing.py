"""The smaller model has the masks, states and batch size of the large one."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, Y, compiled, randomized, silence, weight

import keras_vrnn as kv
from keras_vrnn import compression

# float32 rounding of sums in another order over some steps.
ROUNDING = 1e-5


def test_masks_of_a_pruned_model_are_cut_too():
    model = compiled(randomized(kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(8), kl.Dense(2)])))
    sparse = compression.prune(model, lambda step: (True, 0.5))
    compiled(sparse).fit(X, Y, verbose=0)
    small = compiled(compression.prune_units(sparse, keep=0.5, data=(X, Y)))
    zeros = [np.array(w) == 0 for w in small.weights]
    small.fit(X, Y, verbose=0)
    for variable, was_zero in zip(small.weights, zeros, strict=True):
        if "kernel" in variable.path:
            assert was_zero.any()
            assert not np.array(variable)[was_zero].any()


def test_stateful_layers_with_a_fixed_batch_size():
    layers = [kv.VanillaRNN(8, stateful=True, return_sequences=True), kl.LSTM(4, stateful=True), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input(batch_shape=(8, 6, 3)), *layers]))
    small = compression.prune_units(model, data=X[:21])
    assert [layer.units for layer in small.layers] == [4, 2, 2]
    with pytest.raises(ValueError, match="at least one batch of 8 samples"):
        compression.prune_units(model, data=X[:7])


def test_both_directions_and_the_layer_behind_them_are_cut_in_the_right_places():
    inputs = keras.Input((6, 3))
    h = kl.Bidirectional(kl.GRU(4, return_sequences=True, name="gru"), name="both")(inputs)
    h = kl.Dropout(0.2)(h)
    h = kl.LSTM(6, name="lstm")(h)
    model = randomized(compiled(kv.Model(inputs, kl.Dense(2, name="head")(h))))
    for direction, offset, silent in (("forward", 0, [0, 2]), ("backward", 4, [1, 3])):
        silence(weight(model, f"{direction}_gru/gru_cell/recurrent_kernel"), silent)
        silence(weight(model, "lstm_cell/kernel"), [offset + unit for unit in silent])
    silence(weight(model, "lstm_cell/recurrent_kernel"), [1, 2, 5])
    silence(weight(model, "head/kernel"), [1, 2, 5])
    small = compression.prune_units(model, keep=0.5, data=(X, Y))
    assert weight(small, "lstm_cell/kernel").shape == (4, 4 * 3)
    np.testing.assert_allclose(small(X), model(X), atol=ROUNDING)

"""What recurrences read and return, seen while a model runs."""

import keras
import numpy as np
import pytest
from exported_models import random_data, random_tokens, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture.observation import emitted, observe, zeroes_last

X = random_data(3, 6, 4)


def test_calls_in_order_with_what_went_in_and_came_out():
    inputs = keras.Input((6, 4))
    sequence, state = kv.VanillaRNN(5, return_sequences=True, return_state=True, name="a")(inputs)
    model = randomize(
        keras.Model(inputs, layers.SimpleRNN(2, name="b")(sequence, initial_state=state[:, :2]))
    )
    a, b = observe(model, [X])
    assert [call.layer.name for call in (a, b)] == ["a", "b"]
    np.testing.assert_array_equal(a.x, X)
    np.testing.assert_array_equal(a.initial_states[0], np.zeros((3, 5)))
    np.testing.assert_array_equal(a.sequence[:, -1], a.finals[0])
    np.testing.assert_array_equal(b.x, a.sequence)
    np.testing.assert_array_equal(b.initial_states[0], a.finals[0][:, :2])
    assert b.sequence is None
    np.testing.assert_array_equal(b.finals[0], model(X))
    assert a.mask is None


def test_masks_are_seen():
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    tokens = random_tokens(5, 6, 9)
    (call,) = observe(keras.Model(inputs, kv.VanillaRNN(3)(x)), [tokens])
    np.testing.assert_array_equal(call.mask, tokens != 0)


def test_a_shared_layer_is_seen_once_per_call():
    inputs, layer = keras.Input((6, 4)), kv.VanillaRNN(3)
    calls = observe(keras.Model(inputs, layer(inputs) - layer(2 * inputs)), [X])
    assert [call.layer for call in calls] == [layer, layer]
    assert sorted(float(np.abs(call.x).max() / np.abs(X).max()) for call in calls) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(), (None, ("h", None))),
        (dict(return_sequences=True), ("sequence", (None, None))),
        (dict(return_state=True), (None, ("h", "c"))),
        (dict(return_sequences=True, return_state=True), ("sequence", ("h", "c"))),
    ],
)
def test_what_a_layer_returns(options, expected):
    assert emitted(layers.LSTM(3, **options), "sequence", ("h", "c")) == expected


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("make", [kv.VanillaRNN, lambda u, **o: layers.RNN(layers.SimpleRNNCell(u), **o)])
def test_which_layers_return_zero_where_the_last_step_is_masked(make, sequences, zero):
    layer = make(3, return_sequences=sequences, zero_output_for_mask=zero)
    mask = np.array([[True, True, False]])
    output = np.asarray(layer(X[:1, :3], mask=mask))
    is_zero = not np.any(output[0, -1] if sequences else output)
    assert is_zero == (zero if sequences else zeroes_last(layer))

"""Stateful layers start from zero inside of a block, and have their own states afterwards."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.stateful import from_zero, is_stateful


@pytest.fixture
def model():
    inner = keras.Sequential([keras.Input(batch_shape=(2, 3, 4)), kv.VanillaRNN(5, stateful=True)])
    inputs = keras.Input(batch_shape=(2, 3, 4))
    h = keras.layers.LSTM(4, stateful=True, return_sequences=True)(inputs)
    model = keras.Model(inputs, inner(h))
    model(np.ones((2, 3, 4), "float32"))
    return model


def states_of(model):
    vanilla, lstm = model.layers[-1].layers[-1], model.layers[1]
    return [np.array(state) for state in keras.tree.flatten([vanilla.states, lstm.states])]


def test_states_are_zero_inside_and_their_own_afterwards(model):
    before = states_of(model)
    assert len(before) == 3
    assert all(np.abs(state).min() > 0 for state in before)
    with from_zero(model) as reset:
        assert not any(state.any() for state in states_of(model))
        model(np.ones((2, 3, 4), "float32"))
        assert all(state.any() for state in states_of(model))
        reset()
        assert not any(state.any() for state in states_of(model))
    for state, kept in zip(states_of(model), before, strict=True):
        np.testing.assert_array_equal(state, kept)


def test_a_failure_inside_leaves_the_states_too(model):
    before = states_of(model)
    with pytest.raises(KeyError), from_zero(model):
        raise KeyError
    for state, kept in zip(states_of(model), before, strict=True):
        np.testing.assert_array_equal(state, kept)


def test_a_model_is_stateful_if_one_of_its_layers_is(model):
    assert is_stateful(model)
    assert not is_stateful(keras.Sequential([keras.Input((3, 4)), kv.VanillaRNN(5)]))

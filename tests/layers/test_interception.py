"""Finding layers at any depth, and replacing their recurrences for a while."""

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose
from keras import ops

import keras_vrnn as kv
from keras_vrnn.layers import interception

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")


@pytest.fixture
def model():
    inputs = keras.Input((5, 3))
    inner = keras.Sequential([keras.Input((5, 3)), kv.Bidirectional(kv.VanillaRNN(4, return_sequences=True))])
    h = keras.layers.GRU(4, return_sequences=True)(inner(inputs))
    return keras.Model(inputs, keras.layers.SimpleRNN(2)(h))


def test_layers_at_any_depth(model):
    recurrent = [type(layer).__name__ for layer in interception.recurrent_layers(model)]
    assert sorted(recurrent) == ["GRU", "SimpleRNN", "VanillaRNN", "VanillaRNN"]
    vanilla = [type(layer).__name__ for layer in interception.vanilla_layers(model)]
    assert sorted(vanilla) == ["SimpleRNN", "VanillaRNN", "VanillaRNN"]
    assert len(interception.layers_of(model)) == len(set(map(id, interception.layers_of(model))))


def test_replacements_see_the_loop_and_end_with_the_block(model):
    plain, seen = model(X), []

    def replacement(layer, loop, sequences, initial_state, mask):
        seen.append(layer.name)
        last, outputs, states = loop(sequences, initial_state, mask)
        return ops.zeros_like(last), ops.zeros_like(outputs), states

    layers = interception.vanilla_layers(model)
    with interception.recurrences_replaced(layers, replacement):
        assert_allclose(model(X), np.zeros((2, 2)))
    assert sorted(seen) == sorted(layer.name for layer in layers)
    assert_allclose(model(X), plain)


def test_an_attribute_is_restored_after_an_error():
    layer = kv.VanillaRNN(2)
    with pytest.raises(TypeError), interception.replaced(layer, "inner_loop", None):
        layer(X)  # None cannot be called
    assert "inner_loop" not in vars(layer)
    layer.note = "own"
    with interception.replaced(layer, "note", "other"):
        assert layer.note == "other"
    assert layer.note == "own"

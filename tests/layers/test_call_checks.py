"""Checks of what layers are given."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.layers import call_checks


@pytest.fixture
def layer():
    built = kv.VanillaRNN(4, name="reader")
    built.build((2, 5, 3))
    return built


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (2, 5),
            r'VanillaRNN "reader": `sequences` must have 3 dimensions.*Received: shape \(2, 5\)\. Add the',
        ),
        ((2, 5, 3, 1), r"Received: shape \(2, 5, 3, 1\)\. Reshape"),
        ((2, 5, None), r"must have a static last dimension \(features\)"),
        ((2, 0, 3), r"must have at least one time step"),
        (
            (2, 5, 4),
            r"must have 3 features, as when the layer was built\. Received: shape \(2, 5, 4\), 4 features\.",
        ),
        (((2, 5, 3), (2, 5, 3)), r"must be one tensor of shape \(batch, time, features\)\. Received: shapes"),
    ],
)
def test_shapes_of_sequences(layer, shape, message):
    call_checks.sequences_shape(layer, (None, None, 3))
    with pytest.raises(ValueError, match=message):
        call_checks.sequences_shape(layer, shape)


@pytest.mark.parametrize("shape", [(2,), (2, 4), (3, 5), (2, 5, 3)])
def test_shapes_of_masks(layer, shape):
    for right in ((2, 5), (None, 5), (2, 5, 1)):
        call_checks.mask_shape(layer, right, (2, 5, 3))
    with pytest.raises(ValueError, match=r"`mask` must have shape \(batch, time\) = \(2, 5\), True where"):
        call_checks.mask_shape(layer, shape, (2, 5, 3))


def test_states(layer):
    state = np.zeros((2, 4))
    assert call_checks.one_state(layer, "h", [state]) is state
    assert call_checks.states_list(layer, "h", (state, state), 2, "one per layer") == [state, state]
    for value in ([state], state):
        with pytest.raises(ValueError, match=r"`h` must be a list of 2 tensors, one per layer\. Received: "):
            call_checks.states_list(layer, "h", value, 2, "one per layer")
    with pytest.raises(ValueError, match=r"`h` must be one tensor.*Received: h=3\."):
        call_checks.one_state(layer, "h", 3)
    call_checks.state_shape(layer, "h", (None, 4), 2, 4)
    with pytest.raises(ValueError, match=r"`h` must have the batch size of `sequences`, 3"):
        call_checks.state_shape(layer, "h", (2, 4), 3, 4)


def test_keras_objects():
    assert call_checks.resolved("activations", "activation", "tanh") is keras.activations.tanh
    with pytest.raises(
        ValueError, match=r"`activation` must be None, a name or an object of `keras.activations`"
    ):
        call_checks.resolved("activations", "activation", "tahn")

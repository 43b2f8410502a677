"""Estimates of what a model loses without a unit."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, Y, compiled, randomized, weight

import keras_vrnn as kv
from keras_vrnn import compression


def test_taylor_importance_is_the_change_of_the_loss_to_first_order():
    """Against a numerical derivative of the loss by a factor on each unit's readers."""
    from keras_vrnn.compression import importance
    from keras_vrnn.compression.following import Follower

    model = kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2, name="head")])
    randomized(compiled(model))
    channels = Follower(lambda name: 0.5).follow(model)
    scores = importance.taylor(channels, model, [(X, Y, None)], model.compute_loss)
    recurrent, head = weight(model, "recurrent_kernel"), weight(model, "head/kernel")
    original = np.array(recurrent), np.array(head)

    def loss(unit, factor):
        for variable, value in zip((recurrent, head), original, strict=True):
            scaled = value.copy()
            scaled[unit] *= factor
            variable.assign(scaled)
        return model.evaluate(X, Y, verbose=0, batch_size=48)

    step = 1e-2
    slopes = [(loss(unit, 1 + step) - loss(unit, 1 - step)) / (2 * step) for unit in range(4)]
    # Central differences of a float32 loss: 1e-7 / 1e-2 of rounding, and the third derivative times 1e-4.
    np.testing.assert_allclose(np.sqrt(scores[1:]), np.abs(slopes), atol=2e-4)


@pytest.mark.parametrize("layer", [kv.VanillaRNN, kl.GRU, kl.LSTM])
def test_units_that_others_can_replace_go_and_leave_the_outputs_nearly_as_they_were(layer):
    """Four units, each there twice: their readers differ."""
    inputs = keras.Input((6, 3))
    h = layer(8, return_sequences=True, name="rnn")(inputs)
    h = kl.Concatenate()([kl.Flatten()(h), kl.GlobalAveragePooling1D()(h), layer(3, name="next")(h)])
    model = randomized(kv.Model(inputs, kl.Dense(2)(h)))
    for variable in model.get_layer("rnn").weights:
        value = np.array(variable)
        columns = value.reshape(*value.shape[:-1], -1, 2, 4)
        columns[..., 1, :] = columns[..., 0, :]
        variable.assign(columns.reshape(value.shape))
    small = compression.prune_units(model, keep={"rnn": 0.5}, data=X)
    before, after = np.array(model(X)), np.array(small(X))
    assert small.get_layer("rnn").units == 4
    # The damping of M by 1e-3 of its mean leaves about as much of a unit's product behind.
    assert np.abs(after - before).max() < 0.02 * np.abs(before).max()

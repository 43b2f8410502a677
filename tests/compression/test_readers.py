"""The weights that read units make up for the removed ones."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, randomized

import keras_vrnn as kv
from keras_vrnn import compression


def test_moments_are_those_of_the_states_at_all_steps_that_count():
    from keras_vrnn.compression import readers
    from keras_vrnn.compression.following import Follower

    x = X.copy()
    x[:20, 4:] = 0.0
    layers = [kl.Masking(), kv.VanillaRNN(4, name="rnn", go_backwards=True), kl.Dense(2, name="head")]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    channels = Follower(lambda name: 0.5).follow(model)
    (moment,) = readers.moments(channels, model, [(x[:25], None, None), (x[25:], None, None)]).values()
    every_step = kv.VanillaRNN(4, return_sequences=True, go_backwards=True)
    every_step.build((None, 6, 3))
    every_step.set_weights(model.get_layer("rnn").get_weights())
    counts = np.any(x != 0, axis=-1)
    h = np.array(every_step(x, mask=counts))[counts[:, ::-1]].astype(float)
    h = np.concatenate([h, np.ones((len(h), 1))], axis=1)
    np.testing.assert_allclose(moment, h.T @ h / len(h), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("use_bias", [True, False])
def test_weights_that_stay_take_over_by_least_squares(use_bias):
    """The head's new rows are the ridge regression of its old product on the kept states."""
    head = kl.Dense(3, name="head", use_bias=use_bias)
    model = randomized(
        kv.Sequential([keras.Input((6, 3)), kl.GRU(6, return_sequences=True, name="rnn"), head])
    )
    h = np.array(model.get_layer("rnn")(X)).reshape(-1, 6).astype(float)
    product = h @ np.array(head.kernel) + (np.array(head.bias) if use_bias else 0.0)
    small = compression.prune_units(model, keep=0.5, data=X)
    kernel = np.array(model.get_layer("rnn").cell.kernel)
    columns = np.array(small.get_layer("rnn").cell.kernel)
    kept = [
        int(np.flatnonzero((kernel[:, :6] == column[:, None]).all(axis=0))[0]) for column in columns.T[:3]
    ]
    states = np.concatenate([h[:, kept], np.ones((len(h), int(use_bias)))], axis=1)
    ridge = 1e-3 * np.mean([*np.mean(h**2, axis=0), 1.0]) * len(h)
    # The ridge draws towards the old weights of the kept units, not towards zero.
    old = np.array(head.kernel)[kept].astype(float)
    old = np.concatenate([old, [np.array(head.bias)]]) if use_bias else old
    gram = states.T @ states + ridge * np.eye(states.shape[1])
    expected = old + np.linalg.solve(gram, states.T @ (product - states @ old))
    found = np.array(small.get_layer("head").kernel)
    found = np.concatenate([found, [np.array(small.get_layer("head").bias)]]) if use_bias else found
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)  # float32 weights and states

"""What each layer does with units, and which layers cannot be followed."""

import keras
import numpy as np
import pytest
from keras import layers as kl
from small_recurrent_models import X, Y, compiled, randomized, weight

import keras_vrnn as kv
from keras_vrnn import compression


def test_a_wrong_cut_does_not_pass_the_comparison(monkeypatch):
    from keras_vrnn.compression import channel_rules

    def swapped(channels, layer, inputs, outputs):
        return [np.concatenate([numbers for _, numbers in reversed(inputs)])]

    monkeypatch.setitem(channel_rules.RULES, kl.Concatenate, swapped)
    inputs = keras.Input((6, 3))
    h = kl.Concatenate()([kl.GRU(4)(inputs), kl.LSTM(4)(inputs)])
    model = randomized(keras.Model(inputs, kl.Dense(2)(h)))
    with pytest.raises(RuntimeError, match="bug of keras_vrnn"):
        compression.prune_units(model, keep=0.5, data=X)


def test_normalized_units_are_cut_with_their_scales():
    inputs = keras.Input((6, 3))
    h = kl.LayerNormalization(name="norm")(kv.VanillaRNN(8, return_sequences=True)(inputs))
    model = compiled(randomized(kv.Model(inputs, kl.Dense(2)(kl.LSTM(4)(h)))))
    small = compression.prune_units(model, keep=0.25, data=(X, Y))
    assert weight(small, "norm/gamma").shape == (2,)
    assert small.predict(X, verbose=0).shape == (48, 2)


def lambda_layer(inputs):
    h = kl.GRU(4, name="gru")(inputs)
    return kl.Dense(2)(kl.Lambda(lambda h: h * 2, name="double")(h))


def softmax(inputs):
    return kl.Dense(2)(kl.Activation("softmax", name="shares")(kl.GRU(4, name="gru")(inputs)))


def with_input(inputs):
    return kl.Dense(2)(kl.Add(name="sum")([kl.GRU(3, return_sequences=True, name="gru")(inputs), inputs]))


def as_output(inputs):
    return kl.GRU(4, name="gru")(inputs)


def stacked_cells(inputs):
    return kl.Dense(2)(kl.RNN([kl.GRUCell(3), kl.GRUCell(4)], name="gru")(inputs))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda_layer, "'gru' cannot be removed: they are inputs of Lambda \"double\".*keep="),
        (softmax, "'gru' cannot be removed: they are inputs of Activation \"shares\".*keep="),
        (with_input, "'gru' cannot be removed: Add \"sum\" combines them with values that stay.*keep="),
        (as_output, "'gru' cannot be removed: they are outputs of the model.*keep="),
        (stacked_cells, 'RNN "gru" cannot lose units: .*Received: StackedRNNCells.*keep='),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(graph, message):
    inputs = keras.Input((6, 3))
    with pytest.raises(ValueError, match=message):
        compression.prune_units(keras.Model(inputs, graph(inputs)), data=X)

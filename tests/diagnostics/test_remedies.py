"""Advice fits the model: it names what may help and repeats nothing that the model already has."""

import keras
import numpy as np
import pytest
from flows import linear, normal
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import gradient_flow


def test_the_remedy_depends_on_the_cell():
    x = np.ones((2, 200, 3), "float32")
    vanilla = gradient_flow(linear(0.5, 200), x, np.ones((2, 1)), "mse").verdict
    closed = keras.Sequential(
        [keras.Input((200, 3)), layers.LSTM(4, unit_forget_bias=False), layers.Dense(1)]
    )
    gated = gradient_flow(closed, x, np.ones((2, 1)), "mse").verdict
    assert vanilla.kind == gated.kind == "vanishing"
    assert "gated cell" in vanilla.remedy
    assert "forget gate" in gated.remedy


@pytest.mark.parametrize(
    ("beta", "kind", "remedy"),
    [(-3.0, "vanishing", "a β nearer 1"), (30.0, "exploding", "a smaller α or β")],
)
def test_the_remedy_of_a_fast_rnn_is_in_its_scalars(beta, kind, remedy):
    recurrent = kv.FastRNN(
        4,
        activation="linear",
        recurrent_initializer=keras.initializers.Identity(gain=1.5),
        alpha_initializer=keras.initializers.Constant(-1.0),
        beta_initializer=keras.initializers.Constant(beta),
    )
    model = keras.Sequential([keras.Input((100, 3)), recurrent, layers.Dense(1)])
    found = gradient_flow(model, normal(2, 100, 3), np.ones((2, 1)), "mse").verdict
    assert found.kind == kind, str(found)
    assert remedy in found.remedy
    assert "recurrent_initializer" not in found.remedy


def test_gain_3_explodes_in_tanh():
    keras.utils.set_random_seed(0)
    recurrent = kv.VanillaRNN(64, recurrent_initializer=keras.initializers.Orthogonal(gain=3.0))
    model = keras.Sequential([keras.Input((100, 3)), recurrent, layers.Dense(1)])
    found = gradient_flow(model, normal(16, 100, 3), normal(16, 1), "mse").verdict
    assert found.kind == "exploding", str(found)
    assert "clipping" in found.remedy
    assert "orthogonal" not in found.remedy, "it has that, with a gain of 3"
    assert "Orthogonal has 3 now" in found.remedy
    model.compile(keras.optimizers.Adam(global_clipnorm=1.0), "mse")
    found = gradient_flow(model, normal(16, 100, 3), normal(16, 1)).verdict
    assert "clip" not in found.remedy


@pytest.mark.parametrize(
    ("options", "names", "names_not"),
    [
        ({"recurrent_initializer": "glorot_uniform"}, ["orthogonal", "gated cell"], []),
        ({}, ["SpectralRadius", "ScaledIdentity", "gated cell", "attention"], ["orthogonal"]),
        (
            {"recurrent_initializer": kv.initializers.SpectralRadius(0.5)},
            ["SpectralRadius has 0.5 now"],
            ["orthogonal"],
        ),
        (
            {"activation": "sigmoid", "recurrent_initializer": "glorot_uniform"},
            ["activation='tanh'", "orthogonal"],
            [],
        ),
        (
            {"activation": "relu", "recurrent_initializer": kv.initializers.ScaledIdentity(0.5)},
            ["gated cell", "ScaledIdentity has 0.5 now"],
            ["activation='relu'", "ScaledIdentity()"],
        ),
    ],
)
def test_vanishing_over_200_steps_with_advice_that_repeats_nothing(options, names, names_not):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((200, 3)), kv.VanillaRNN(16, **options), layers.Dense(1)])
    found = gradient_flow(model, normal(16, 200, 3), normal(16, 1), "mse").verdict
    assert found.kind == "vanishing", str(found)
    for words in names:
        assert words in found.remedy
    for words in names_not:
        assert words not in found.remedy


@pytest.mark.parametrize(
    ("recurrent", "names", "names_not"),
    [
        (layers.LSTM, "a larger bias for the forget gate", "unit_forget_bias"),
        (layers.GRU, "update gate", "forget gate"),
    ],
)
def test_gated_cells_over_200_steps_are_not_told_to_use_gated_cells(recurrent, names, names_not):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((200, 3)), recurrent(16), layers.Dense(1)])
    found = gradient_flow(model, normal(16, 200, 3), normal(16, 1), "mse").verdict
    assert found.kind == "vanishing", str(found)
    assert names in found.remedy
    assert names_not not in found.remedy
    assert "gated cell" not in found.remedy

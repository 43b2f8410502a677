"""Weights, data and losses that hold inf or NaN are named."""

import keras
import numpy as np
import pytest
from flows import normal
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import broken, gradient_flow


def test_nan_weights_are_named_and_not_an_explosion():
    model = kv.Sequential([keras.Input((30, 3)), kv.VanillaRNN(4, name="rnn"), layers.Dense(1)])
    model.compile("adam", "mse", global_clipnorm=1.0)
    x, y = normal(16, 30, 3), normal(16, 1)
    kernel, *rest = model.layers[0].get_weights()
    kernel[0, 0] = np.nan
    model.layers[0].set_weights([kernel, *rest])
    flow = gradient_flow(model, x, y)
    (name,) = flow.broken
    assert "rnn/" in name
    assert flow.verdict.kind == "broken"
    assert "kernel" in flow.verdict.reason
    assert "clip" not in flow.verdict.remedy
    assert "broken" in str(flow)
    for sample in (None, (x, y)):
        health = kv.callbacks.GradientHealth(sample=sample, min_steps=2)
        with pytest.warns(UserWarning, match="are broken: inf or NaN in .*kernel"):
            model.fit(x, y, batch_size=4, verbose=0, callbacks=[health])


def test_nan_in_the_data_is_named():
    model = keras.Sequential([keras.Input((30, 3)), kv.VanillaRNN(4), layers.Dense(1)])
    x, y = normal(16, 30, 3), normal(16, 1)
    x[3, 5, 0] = np.nan
    found = gradient_flow(model, x, y, "mse").verdict
    assert (found.kind, found.reason) == ("broken", "inf or NaN in x")
    y[0] = np.inf
    found = gradient_flow(model, normal(16, 30, 3), y, "mse").verdict
    assert (found.kind, found.reason) == ("broken", "inf or NaN in y")


def test_a_loss_that_is_not_finite_alone():
    model = keras.Sequential([keras.Input((10, 3)), kv.VanillaRNN(4), layers.Dense(1)])
    logarithm = lambda y, p: keras.ops.log(0 * p - 1)  # noqa: E731
    found = gradient_flow(model, normal(16, 10, 3), normal(16, 1), logarithm).verdict
    assert found.kind == "broken"
    assert "the loss is not finite" in found.reason


def test_integers_are_finite_and_long_lists_are_cut():
    tokens = np.array([[1, 2]])
    assert broken.data({"tokens": tokens, "x": np.ones(2)}, [tokens, np.array([np.inf])]) == ("y",)
    found = broken.verdict(("a", "b", "c", "d", "e"))
    assert found.reason == "inf or NaN in a, b, c and 2 more"
    assert "restore weights" in found.remedy
    assert broken.verdict(("x", "y")).remedy == "Remove or replace these values."

"""Samples from files for a model, and compilation as in its file."""

import argparse

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_vrnn.cli import training

OPTIONS = {"model": "m.keras", "loss": None, "metrics": None, "learning_rate": None}


def options(**changed):
    return argparse.Namespace(**{**OPTIONS, **changed})


def two_inputs(kind=list):
    inputs = {name: keras.Input((2,), name=name) for name in ("second", "first")}
    return keras.Model(
        inputs if kind is dict else list(inputs.values()), kl.Dense(1)(kl.Add()(list(inputs.values())))
    )


def test_inputs_come_in_the_order_of_the_graph():
    x = {"first": np.zeros((3, 2)), "second": np.ones((3, 2))}
    y = np.zeros((3, 1))
    ordered, _ = training.fitted(two_inputs(), (x, y), "data")
    assert [array.max() for array in ordered] == [1.0, 0.0]
    assert training.fitted(two_inputs(dict), (x, y), "data") == (x, y)
    single = keras.Sequential([keras.Input((2,), name="first"), kl.Dense(1)])
    assert training.fitted(single, ({"first": x["first"]}, y), "data")[0] is x["first"]


def test_a_learning_rate_replaces_a_schedule_also_inside_a_loss_scale_optimizer():
    model = keras.Sequential([keras.Input((2,)), kl.Dense(1)])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate, momentum=0.9)), "mse")
    training.compile_as(model, training.compile_config(model, options(learning_rate=0.03)))
    assert float(model.optimizer.inner_optimizer.learning_rate) == pytest.approx(0.03)
    assert model.optimizer.inner_optimizer.momentum == 0.9


def test_a_model_without_an_optimizer_gets_adam():
    model = keras.Sequential([keras.Input((2,)), kl.Dense(1)])
    training.compile_as(model, training.compile_config(model, options(loss="mse", metrics=["mae"])))
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert set(training.measures(model, (np.ones((3, 2)), np.ones((3, 1))), 32, "data")) == {"loss", "mae"}


def test_a_compile_of_its_own_is_refused():
    class Own(keras.Sequential):
        def compile(self, optimizer="sgd", loss="mse", **kwargs):
            super().compile(optimizer, loss, **kwargs)

    model = Own([keras.Input((2,)), kl.Dense(1)])
    with (
        pytest.warns(UserWarning, match="was not called as part of model loading"),
        pytest.raises(ValueError, match="Received: Own, whose compile"),
    ):
        training.compile_as(model, training.compile_config(model, options(loss="mse")))


def test_samples_are_drawn_from_everywhere_and_stay_together():
    x = np.arange(100)
    (chosen,), y = training.some(((x,), x + 1), 10, seed=0)
    np.testing.assert_array_equal(y, chosen + 1)
    assert len(set(chosen)) == 10
    assert chosen.max() > 50 > chosen.min()
    assert len(training.some((x, x), 1000, seed=0)[0]) == 100

"""Where whole epochs run in one program; test_epoch.py shows that it changes nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from short_epochs import DATA, Batches, EachBatch, X, model

import keras_vrnn as kv
from keras_vrnn.training import epoch_plan

ARGUMENTS = {
    **dict.fromkeys(("callbacks", "sample_weight", "steps_per_epoch", "validation_data")),
    **{"x": X, "y": X[:, 0], "batch_size": 4, "shuffle": True, "validation_split": 0.0},
}


@pytest.mark.parametrize(
    ("given", "batches"),
    [
        ({}, 64),  # a power of two, of 80
        ({"batch_size": None}, 8),
        ({"batch_size": 160}, 2),
        ({"batch_size": 161}, None),  # one whole batch
        ({"x": [X], "y": None}, 64),
        ({"x": {"x": tf.constant(X)}, "sample_weight": np.ones(320)}, 64),
        ({"x": np.concatenate([X] * 10), "y": None}, 128),
        ({"validation_split": 0.5}, 32),
        ({"validation_split": 0.999}, None),  # Keras raises its error
        ({"validation_split": 0.5, "validation_data": (X, X[:, 0])}, 64),
        ({"callbacks": [kv.callbacks.GradientNorms(), keras.callbacks.EarlyStopping()]}, 64),
        ({"callbacks": [EachBatch()]}, None),
        ({"callbacks": keras.callbacks.CallbackList([])}, None),
        ({"x": DATA, "y": None}, None),
        ({"x": Batches(), "y": None}, None),
        ({"x": iter([]), "y": None}, None),
        ({"x": X.tolist()}, None),
        ({"y": X[:7, 0]}, None),  # Keras raises its error
        ({"x": tf.RaggedTensor.from_tensor(X)}, None),
        ({"x": np.full((320, 1), "text")}, None),
        ({"x": None, "y": None}, None),
        ({"steps_per_epoch": 10}, None),
        ({"shuffle": "batch"}, None),
        ({"x": np.broadcast_to(X[:1], (10**6, 6, 3)), "y": None}, 128),
        ({"x": np.broadcast_to(X[:1], (10**7, 6, 3)), "y": None}, None),  # too much for another copy
    ],
)
def test_whole_epochs_are_for_arrays_that_fit_into_memory(given, batches):
    plan = epoch_plan.for_fit(model(), {**ARGUMENTS, **given})
    assert (plan.batches if plan else None) == batches


def test_validation_takes_the_last_rows():
    plan = epoch_plan.for_fit(model(), {**ARGUMENTS, "validation_split": 0.3})
    assert [len(part[0]) for part in (plan.data, plan.validation)] == [224, 96]
    assert plan.validation[2] is None
    x, y, _ = plan.data
    assert x.base is X
    assert y.shape == (224, 3)


class OwnStep(kv.Sequential):
    def train_step(self, data):
        return super().train_step(data)


class OwnFunction(kv.Sequential):
    def make_train_function(self, force=False):
        super().make_train_function(force)


@pytest.mark.parametrize(
    ("classes", "options"),
    [
        (OwnStep, {}),
        (OwnFunction, {}),
        (kv.Sequential, {"run_eagerly": True}),
        (kv.Sequential, {"truncate_steps": 2}),
    ],
)
def test_another_way_of_training_is_left_to_keras(classes, options):
    layers = [keras.Input((None, 3)), kv.VanillaRNN(4, return_sequences=True), keras.layers.Dense(3)]
    made = classes(layers)
    made.compile("sgd", "mse", **options)
    assert epoch_plan.for_fit(made, {**ARGUMENTS, "y": X}) is None


def test_calls_take_about_a_second():
    """Progress bar and Ctrl-C wait for a call, so a long step has few of them, and one of unknown length as well."""
    wide = model(kv.VanillaRNN(1500))
    assert (
        epoch_plan.for_fit(
            wide, {**ARGUMENTS, "batch_size": 32, "x": np.concatenate([X] * 10), "y": None}
        ).batches
        == 8
    )
    convolution = keras.Sequential([keras.layers.Conv1D(4, 3), keras.layers.Flatten()])
    assert epoch_plan.for_fit(model(convolution), ARGUMENTS).batches == 4


def test_functions_that_run_eagerly_are_left_to_keras():
    made = model()
    tf.config.run_functions_eagerly(True)
    try:
        assert epoch_plan.for_fit(made, ARGUMENTS) is None
    finally:
        tf.config.run_functions_eagerly(False)
    assert epoch_plan.for_fit(made, ARGUMENTS).batches == 64


EVALUATION = {**dict.fromkeys(("callbacks", "sample_weight", "steps")), "x": X, "y": X[:, 0], "batch_size": 4}


@pytest.mark.parametrize(
    ("given", "batches"),
    [
        ({}, 64),
        ({"callbacks": keras.callbacks.CallbackList(add_progbar=True)}, 64),  # as `fit` calls `evaluate`
        ({"callbacks": [EachBatch()]}, 64),  # it sees batches of training only
        ({"callbacks": [keras.callbacks.ProgbarLogger()]}, None),
        ({"steps": 3}, None),
        ({"x": DATA, "y": None}, None),
    ],
)
@pytest.mark.parametrize("decide", [epoch_plan.for_evaluate, epoch_plan.for_predict])
def test_evaluation_and_prediction_of_arrays_run_whole(decide, given, batches):
    if decide is epoch_plan.for_predict and isinstance(given.get("callbacks"), keras.callbacks.CallbackList):
        batches = None
    plan = decide(model(), {**EVALUATION, **given})
    assert (plan.batches if plan else None) == batches


def test_outputs_of_unknown_sizes_are_not_collected():
    inputs = keras.Input((None, 3))
    made = kv.Model(inputs, kv.VanillaRNN(2, return_sequences=True)(inputs))
    made.compile("sgd", "mse")
    assert epoch_plan.for_predict(made, EVALUATION) is None
    assert epoch_plan.for_evaluate(made, {**EVALUATION, "y": X[:, :, :2]}) is not None

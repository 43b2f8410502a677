"""Files of Keras' older formats, and files that stock models have written."""

import json
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from trainings import RECORDED, TRAINED, weights_of

import keras_vrnn as kv

X = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
Y = np.zeros((8, 2), "float32")


def functional(classes, layer):
    inputs = keras.Input((5, 3))
    return classes.Model(inputs, keras.layers.Dense(2)(layer(4)(inputs)))


def sequential(classes, layer):
    return classes.Sequential([keras.Input((5, 3)), layer(4), keras.layers.Dense(2)])


def nested(classes, layer):
    inner = functional(classes, layer)
    return classes.Sequential([keras.Input((5, 3)), inner, sequential_tail(classes), keras.layers.Dense(1)])


def sequential_tail(classes):
    return classes.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


MODELS = [functional, sequential, nested]


@pytest.mark.parametrize("make", MODELS)
def test_an_h5_file_gives_the_model_back(make, tmp_path):
    model = make(kv, kv.VanillaRNN)
    # By name, Keras (3.15) could not read them back from such a file.
    model.compile("adam", keras.losses.MeanSquaredError(), metrics=[keras.metrics.MeanAbsoluteError()])
    targets = np.zeros((8, model.output_shape[-1]), "float32")
    model.fit(X, targets, verbose=0)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    expected = model.evaluate(X, targets, verbose=0)
    np.testing.assert_allclose(loaded.evaluate(X, targets, verbose=0), expected, rtol=RECORDED)
    # Its optimizer was built for no variables, by Keras.
    for each in (model, loaded):
        each.compile("sgd", "mse")
        each.fit(X, targets, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights_of(loaded), weights_of(model), atol=TRAINED)


def test_an_h5_file_of_an_uncompiled_model_gives_it_back(tmp_path):
    model = sequential(kv, kv.VanillaRNN)
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    assert type(loaded) is kv.Sequential
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_an_h5_file_names_what_it_loses(tmp_path):
    model = sequential(kv, kv.VanillaRNN)
    model.compile("sgd", "mse", global_clipnorm=1.0, nonfinite="raise")
    with pytest.warns(UserWarning, match=r"do not keep global_clipnorm=1.0, nonfinite='raise' .* \.keras"):
        model.save(tmp_path / "model.h5")


@pytest.mark.parametrize("make", MODELS)
def test_weights_of_a_stock_model_load(make, tmp_path):
    stock, model = make(keras, keras.layers.SimpleRNN), make(kv, kv.VanillaRNN)
    stock.save_weights(tmp_path / "stock.weights.h5")
    model.load_weights(tmp_path / "stock.weights.h5")
    for ours, theirs in zip(model.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", MODELS)
def test_weights_load_into_the_model_that_wrote_them(make, tmp_path):
    writer, reader = make(kv, kv.VanillaRNN), make(kv, kv.VanillaRNN)
    writer.save_weights(tmp_path / "own.weights.h5")
    reader.load_weights(tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(weights_of(reader), weights_of(writer))


def test_weights_of_a_stock_keras_file_load(tmp_path):
    stock, model = sequential(keras, keras.layers.SimpleRNN), sequential(kv, kv.VanillaRNN)
    stock.save(tmp_path / "stock.keras")
    model.load_weights(tmp_path / "stock.keras")
    np.testing.assert_array_equal(weights_of(model), weights_of(stock))


def test_a_model_with_layers_of_both_kinds_is_refused_with_the_way_out(tmp_path):
    """Keras numbers the layers of each class: the paths in the file don't show which layer is meant."""

    def stacked(classes, *kinds):
        layers = [kind(3, return_sequences=True) for kind in kinds]
        return classes.Sequential([keras.Input((5, 3)), *layers])

    simple = keras.layers.SimpleRNN
    stock = stacked(keras, simple, simple, simple)
    stock.save_weights(tmp_path / "stock.weights.h5")
    for kinds in ((kv.VanillaRNN, simple, kv.VanillaRNN), (simple, kv.VanillaRNN, simple)):
        model = stacked(kv, *kinds)
        with pytest.raises(ValueError, match="could not be loaded"):
            model.load_weights(tmp_path / "stock.weights.h5")
        model.set_weights(stock.get_weights())
        np.testing.assert_array_equal(weights_of(model), weights_of(stock))


def test_weights_of_another_model_are_refused_as_in_keras(tmp_path):
    other = kv.Sequential([keras.Input((5, 3)), kv.VanillaRNN(7)])
    other.save_weights(tmp_path / "other.weights.h5")
    model = sequential(kv, kv.VanillaRNN)
    before = weights_of(model)
    with pytest.raises(ValueError, match="could not be loaded"):
        model.load_weights(tmp_path / "other.weights.h5")
    np.testing.assert_array_equal(weights_of(model)[:12], before[:12])
    assert kv.VanillaRNN.__name__ == "VanillaRNN"


def test_names_are_those_of_keras():
    keras.backend.clear_session()
    assert functional(kv, kv.VanillaRNN).name == functional(keras, kv.VanillaRNN).name.rsplit("_", 1)[0]


def test_an_h5_file_names_the_registered_class(tmp_path):
    sequential(kv, kv.VanillaRNN).save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5") as file:
        assert json.loads(file.attrs["model_config"])["class_name"] == "keras_vrnn>Sequential"
    assert kv.Sequential.__name__ == "Sequential"


# On a backend that the model cannot be trained on.

PREDICTS = """
import sys, numpy as np, keras, keras_vrnn as kv
x = np.ones((4, 5, 3), "float32")
inputs = keras.Input((5, 3))
for model in (
    kv.Sequential([keras.Input((5, 3)), kv.VanillaRNN(4)]),
    kv.Model(inputs, kv.VanillaRNN(4)(inputs)),
    keras.models.load_model(sys.argv[1], compile=False),
):
    assert model.predict(x, verbose=0).shape[0] == 4
    assert model.predict_on_batch(x).shape[0] == 4
    for use in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        try:
            use(x, x[:, 0])
        except ValueError as error:
            assert "You must call `compile()`" in str(error), error
        else:
            raise AssertionError("an uncompiled model was used")
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_model_that_is_not_compiled_predicts(backend, tmp_path):
    if backend != "tensorflow":
        pytest.importorskip(backend)
    model = sequential(kv, kv.VanillaRNN)
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    subprocess.run(
        [sys.executable, "-c", PREDICTS, str(tmp_path / "model.keras")],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )


def test_xla_that_keras_resolves_on_does_not_matter_before_compile():
    """As on a machine with a GPU."""
    model = sequential(kv, kv.VanillaRNN)
    model.jit_compile = True
    assert model.predict(X, verbose=0).shape == (8, 2)
    with pytest.raises(ValueError, match=r"You must call `compile\(\)`"):
        model.fit(X, Y)

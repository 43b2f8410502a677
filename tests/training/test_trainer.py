"""compile() and train_step(): variables of all kinds, files, and bad input."""

import warnings

import keras
import numpy as np
import pytest
from trainings import TRAINED, linear_model, recurrent_model, sequences, weights_of

import keras_vrnn as kv
from keras_vrnn.training.callbacks import GradientNorms


def test_two_variables_with_the_same_name_get_two_columns():
    class Twins(kv.Model):
        def __init__(self):
            super().__init__(name="twins")
            self.first = keras.layers.Dense(1, use_bias=False, name="same")
            self.second = keras.layers.Dense(1, use_bias=False, name="same")

        def call(self, x):
            return self.first(x) + self.second(x)

    model = Twins()
    model.compile("sgd", "mse")
    norms = GradientNorms()
    model.fit(np.ones((2, 3)), np.ones((2, 1)), verbose=0, callbacks=[norms])
    assert list(norms.variable_norms) == ["twins/same/kernel", "twins/same/kernel_1"]


def test_a_variable_without_gradient_has_norm_zero():
    inputs = keras.Input((2,))
    used, unused = keras.layers.Dense(1, name="used")(inputs), keras.layers.Dense(1, name="unused")(inputs)
    model = kv.Model(inputs, [used, unused])
    model.compile("sgd", ["mse", None], global_clipnorm=0.1)
    norms = GradientNorms()
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        model.fit(np.ones((2, 2)), [np.ones((2, 1)), np.ones((2, 1))], verbose=0, callbacks=[norms])
    assert {name: float(n[0]) > 0 for name, n in norms.variable_norms.items()} == {
        "used/kernel": True,
        "used/bias": True,
        "unused/kernel": False,
        "unused/bias": False,
    }


def test_a_model_without_trainable_weights_still_evaluates_its_loss():
    model = kv.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        history = model.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0).history
    assert history == {"loss": [1.0]}


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_keras_file_round_trip(kind, tmp_path):
    x, y = sequences()
    if kind == "functional":
        model = recurrent_model(kv.Model)
    else:
        model = kv.Sequential(
            [keras.layers.Embedding(9, 4), keras.layers.SimpleRNN(5), keras.layers.Dense(2)]
        )
    model.compile("adam", "mse", metrics=["mae"], clipnorm=0.25, nonfinite="raise", steps_per_execution=2)
    model.fit(x, y, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded, kv.Model if kind == "functional" else kv.Sequential)
    assert loaded.gradient_settings == model.gradient_settings
    assert loaded.steps_per_execution == 2
    for each in (model, loaded):
        each.fit(x, y, shuffle=False, verbose=0)
    # The same arithmetic from the same state.
    np.testing.assert_allclose(weights_of(loaded), weights_of(model), atol=TRAINED)


@pytest.mark.parametrize("kind", [kv.Sequential, keras.Sequential])
def test_a_compiled_sequential_model_can_be_cloned(kind):
    """Keras makes a `keras.Sequential` of any Sequential, and compiles it as the model was compiled."""
    x, y = np.ones((4, 3, 2), "float32"), np.ones((4, 1), "float32")
    model = kind([keras.Input((3, 2)), kv.VanillaRNN(3), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    model.fit(x, y, verbose=0)  # which makes the automatic choices
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert set(clone.fit(x, y, verbose=0).history) == {"loss", "mae"}
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(weights_of(clone), weights_of(model), atol=TRAINED)


def test_a_clone_does_not_lose_clipping_silently():
    model = kv.Sequential([keras.Input((3, 2)), kv.VanillaRNN(3)])
    model.compile("sgd", "mse", clipnorm=1.0)
    with pytest.raises(TypeError, match="clipnorm"):
        keras.models.clone_model(model)


def test_clipping_taken_over_survives_a_file_without_a_warning(tmp_path):
    for name in ("global_clipnorm", "clipvalue"):
        with pytest.warns(UserWarning, match="The model takes over"):
            model = linear_model(loss="mse", optimizer=keras.optimizers.SGD(**{name: 0.5}))
        model.save(tmp_path / f"{name}.keras")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        assert loaded.gradient_settings.thresholds == {name: 0.5}


def test_recompiling_with_frozen_layers_records_the_other_layers():
    x, y = sequences()
    model = recurrent_model(kv.Model)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    model.layers[1].trainable = False
    model.compile("sgd", "mse")
    norms = GradientNorms()
    model.fit(x, y, verbose=0, callbacks=[norms])
    assert len(norms.variable_norms) == 5
    assert norms.steps[0] == 4, "steps are counted on"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clipnorm": -1}, r"`clipnorm` must be a finite number > 0. Received: clipnorm=-1"),
        (
            {"clipnorm": 1, "global_clipnorm": 1},
            r"one way of clipping .* Received: clipnorm=1, global_clipnorm=1",
        ),
        ({"nonfinite": "stop"}, r"`nonfinite` must be one of .* Received: nonfinite='stop'"),
        (
            {"optimizer": keras.optimizers.SGD(clipvalue=1.0), "clipnorm": 1.0},
            r"compile\(clipnorm=1.0\) and optimizer .* with clipvalue=1.0",
        ),
    ],
)
def test_bad_input_leaves_the_model_uncompiled(arguments, message):
    model = kv.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=message):
        model.compile(loss="mse", **arguments)
    assert not model.compiled


def test_another_backend_is_refused_at_compile(monkeypatch):
    model = kv.Sequential([keras.layers.Dense(1)])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        RuntimeError, match=r"needs the TensorFlow backend of Keras. Received: 'jax'. Set KERAS_BACKEND"
    ):
        model.compile("sgd", "mse")

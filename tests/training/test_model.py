"""Model and Sequential: logs, weights and files as stock Keras has them."""

import warnings

import keras
import numpy as np
import pytest
from trainings import GRADIENT_LOGS, RECORDED, TRAINED, linear_model, recurrent_model, sequences, weights_of

import keras_vrnn as kv
from keras_vrnn.training.callbacks import GradientNorms


@pytest.mark.parametrize(
    ("clipping", "how"),
    [
        ({"clipnorm": 0.3}, {}),
        ({"global_clipnorm": 1.0}, {"jit_compile": True}),
        ({"global_clipnorm": 1.0}, {"steps_per_execution": 3}),
        ({"global_clipnorm": 1.0}, {"run_eagerly": True}),
    ],
    ids=str,
)
def test_weights_and_logs_equal_stock_keras(clipping, how):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(48, 5, 3)).astype("float32"), rng.normal(size=(48, 2)).astype("float32")

    def train(model_class, optimizer, **compile_args):
        keras.utils.set_random_seed(1)
        # A gated layer takes seconds to compile; and works the same however the loop runs.
        layer = keras.layers.Flatten() if how else keras.layers.GRU(4, dropout=0.2)
        model = model_class(
            [keras.Input((5, 3)), layer, keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)]
        )
        # Without XLA where there is dropout: it draws other random numbers than TensorFlow's graphs.
        model.compile(optimizer, "mse", metrics=["mae"], **(how or {"jit_compile": False}), **compile_args)
        history = model.fit(
            x, y, batch_size=8, epochs=2, shuffle=False, validation_split=0.25, verbose=0
        ).history
        return weights_of(model), history, model.evaluate(x, y, verbose=0)

    expected, expected_history, expected_evaluation = train(
        keras.Sequential, keras.optimizers.Adam(0.01, **clipping)
    )
    weights, history, evaluation = train(kv.Sequential, keras.optimizers.Adam(0.01), **clipping)
    # Adam divides by √v: a rounding difference counts relative to the largest update, 0.01 a step.
    np.testing.assert_allclose(weights, expected, atol=TRAINED)
    assert set(history) - set(expected_history) == GRADIENT_LOGS
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=RECORDED, err_msg=name)
    np.testing.assert_allclose(evaluation, expected_evaluation, rtol=RECORDED)


def test_the_logs_of_an_epoch_summarize_its_steps():
    x, y = sequences()
    model = recurrent_model(kv.Model)
    model.compile("sgd", "mse", global_clipnorm=0.35)
    norms = GradientNorms()
    history = model.fit(x, y, batch_size=12, epochs=2, verbose=0, callbacks=[norms]).history
    for epoch in range(2):
        steps = slice(8 * epoch, 8 * epoch + 8)
        n, clipped = norms.norms[steps], norms.clipped_norms[steps]
        expected = {
            "grad_norm": n.mean(),
            "grad_norm_max": n.max(),
            "clipped_grad_norm": clipped.mean(),
            "clip_fraction": np.mean(clipped < n),
            "skipped_steps": 0,
        }
        for name, value in expected.items():
            # A running mean of eight float32.
            assert history[name][epoch] == pytest.approx(value, rel=1e-6), name


def test_validation_and_evaluation_report_no_gradient_norms():
    x, y = sequences()
    model = recurrent_model(kv.Model)
    model.compile("sgd", "mse")
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert {name for name in history if name.startswith("val_")} == {"val_loss"}
    assert set(model.evaluate(x, y, verbose=0, return_dict=True)) == {"loss"}
    assert set(model.test_on_batch(x, y, return_dict=True)) == {"loss"}


def test_train_on_batch_returns_what_keras_returns_and_records():
    model = linear_model()
    norms = GradientNorms()
    norms.set_model(model)
    # More steps than the ring holds, none lost.
    for step in range(1, 301):
        loss = model.train_on_batch(np.array([[step, 0.0]], "float32"), np.zeros((1, 1)))
    assert np.shape(loss) == ()
    assert norms.steps.tolist() == norms.norms.tolist() == list(range(1, 301))
    logs = model.train_on_batch(np.ones((1, 2)), np.zeros((1, 1)), return_dict=True)
    assert set(logs) == {"loss", *GRADIENT_LOGS}
    model.compile("sgd", "mse", metrics=["mae"])
    assert len(model.train_on_batch(np.ones((1, 2)), np.zeros((1, 1)))) == 2


def test_the_norms_are_not_weights():
    x, y = sequences()
    model, stock = recurrent_model(kv.Model), recurrent_model(keras.Model)
    for each in (model, stock):
        each.compile("adam", "mse", metrics=["mae"])
        each.fit(x, y, verbose=0)
    for collection in ("weights", "variables", "non_trainable_variables", "metrics"):
        assert len(getattr(model, collection)) == len(getattr(stock, collection)), collection
    assert len(model.optimizer.variables) == len(stock.optimizer.variables)


# What the models are.


def test_functional_sequential_and_subclassed_models_work_side_by_side():
    class Own(kv.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    class OwnFunctional(kv.Model):
        def __init__(self):
            inputs = keras.Input((3,))
            super().__init__(inputs, keras.layers.Dense(2)(inputs))

    inputs = keras.Input((3,))
    functional = kv.Model(inputs, keras.layers.Dense(2)(inputs), name="functional")
    named = kv.Model(inputs=inputs, outputs=keras.layers.Dense(2)(inputs))
    models = [
        functional,
        named,
        OwnFunctional(),
        Own(name="own"),
        Own(),
        kv.Sequential([keras.layers.Dense(2)]),
    ]
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    for model in models:
        model.compile("sgd", "mse", global_clipnorm=1.0)
        assert set(model.fit(x, y, verbose=0).history) >= GRADIENT_LOGS
        assert model.predict(x, verbose=0).shape == (4, 2)
        model.summary(print_fn=lambda *lines, **options: None)
    assert all(isinstance(model, kv.Model) for model in models[:-1])
    assert functional.name == "functional"
    assert functional.input_shape == (None, 3)
    assert [layer.name for layer in models[3].layers] == [models[3].dense.name]


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


def test_a_custom_train_step_without_super_gives_a_warning():
    class Own(kv.Sequential):
        def train_step(self, data):
            return {"loss": keras.ops.zeros(())}

    model = Own([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", clipnorm=1.0)
    with pytest.warns(UserWarning, match=r"Own.train_step does not call super\(\).train_step"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)


def test_a_custom_train_step_may_add_to_the_logs_of_super():
    class Own(kv.Sequential):
        def train_step(self, data):
            return {**super().train_step(data), "extra": keras.ops.ones(())}

    model = Own([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", clipnorm=1.0)
    history = model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0).history
    assert set(history) == {"loss", "extra", *GRADIENT_LOGS}


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

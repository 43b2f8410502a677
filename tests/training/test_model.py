"""Model and Sequential: logs, weights and files as stock Keras has them."""

import keras
import numpy as np
import pytest
from trainings import GRADIENT_LOGS, RECORDED, TRAINED, recurrent_model, sequences, weights_of

import keras_vrnn as kv


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

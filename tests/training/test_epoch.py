"""Whole epochs in one program train exactly as batch by batch; test_stock_*.py compare them with stock Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_vrnn as kv
from keras_vrnn.training import epoch

BATCH, ROWS = 4, 42  # ten whole batches, and one of two rows
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 5, 3)).astype("float32")
Y = RNG.normal(size=(ROWS, 1)).astype("float32")
LABELS = RNG.integers(0, 3, ROWS)
TOKENS = RNG.integers(0, 6, (ROWS, 4))
WEIGHTS = RNG.uniform(0.5, 2.0, ROWS)

STEP_BY_STEP = {"steps_per_execution": 1, "jit_compile": False}
WHOLE = {"jit_compile": False}

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def regressor(compile_args, *, optimizer, loss="mse", recurrent=None, head=(), **options):
    recurrent = recurrent or [kv.VanillaRNN(4)]
    model = kv.Sequential([keras.Input((5, 3)), *recurrent, *head, keras.layers.Dense(1)])
    model.compile(optimizer, loss, **options, **compile_args)
    return model


def fit(model, *data, callbacks=(), **options):
    options = {"batch_size": BATCH, "epochs": 2, "verbose": 0, **options}
    norms = kv.callbacks.GradientNorms()
    history = model.fit(*data, callbacks=[norms, *callbacks], **options)
    return history.history, norms.to_numpy()


@case
def adam_with_dropout_validation_and_weights(ways):
    layers = [kv.VanillaRNN(4, dropout=0.3, recurrent_dropout=0.2, seed=3)]
    model = regressor(ways, optimizer="adam", recurrent=layers, weighted_metrics=["mae"], global_clipnorm=0.5)
    return model, *fit(model, X, Y, sample_weight=WEIGHTS, validation_data=(X[:9], Y[:9], WEIGHTS[:9]))


@case
def weight_decay_and_moving_average(ways):
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(0.05, 15),
        weight_decay=0.1,
        use_ema=True,
        ema_overwrite_frequency=7,
    )
    model = regressor(ways, optimizer=optimizer, clipnorm=0.1, metrics=["mae"])
    return model, *fit(model, X, Y, validation_split=0.3, epochs=3, initial_epoch=1)


@case
def momentum_and_batch_normalization(ways):
    layers = [
        keras.layers.BatchNormalization(),
        kv.VanillaRNN(4, return_sequences=True),
        keras.layers.LSTM(3),
    ]
    model = regressor(
        ways, optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), recurrent=layers
    )
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10.0)
    return model, *fit(model, X, Y, callbacks=[plateau], epochs=3)


@case
def rmsprop_with_early_stopping(ways):
    model = regressor(ways, optimizer="rmsprop")
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0, restore_best_weights=True)
    return model, *fit(model, X, Y, callbacks=[stop], epochs=4, shuffle=False)


@case
def scaled_loss(ways):
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**127, dynamic_growth_steps=3
    )
    model = regressor(ways, optimizer=optimizer)
    return model, *fit(model, X, Y)


@case
def accumulated_gradients(ways):
    model = regressor(ways, optimizer=keras.optimizers.Adam(0.01, gradient_accumulation_steps=3))
    return model, *fit(model, tf.constant(X), tf.constant(Y))


@case
def batches_with_nan(ways):
    x = X.astype("float64")
    x[6, 2, 1] = x[31, 0, 0] = np.nan
    model = regressor(ways, optimizer="adam")
    return model, *fit(model, x, Y, shuffle=False)


@case
def several_inputs_and_outputs(ways):
    a, b = keras.Input((5, 3), name="a"), keras.Input((4,), name="b", dtype="int32")
    tokens = kv.VanillaRNN(3)(keras.layers.Embedding(6, 2, mask_zero=True)(b))
    h = keras.layers.Concatenate()([kv.VanillaRNN(4, activity_regularizer="l2")(a), tokens])
    outputs = {"y": keras.layers.Dense(1, name="y")(h), "label": keras.layers.Dense(3, name="label")(h)}
    model = kv.Model({"a": a, "b": b}, outputs)
    losses = {"y": "mse", "label": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    model.compile("adam", losses, metrics={"label": "accuracy"}, **ways)
    x = {"a": X, "b": TOKENS}
    targets = {"y": Y, "label": LABELS}
    return model, *fit(model, x, targets, sample_weight={"y": WEIGHTS, "label": WEIGHTS[::-1]})


@case
def class_weights_and_area_under_curve(ways):
    model = kv.Sequential([keras.Input((5, 3)), kv.VanillaRNN(4), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(name="auc")], **ways)
    return model, *fit(model, X, LABELS > 0, class_weight={0: 1.0, 1: 3.0})


@case
def states_that_are_kept(ways):
    inputs = keras.Input(batch_shape=(BATCH, 5, 3))
    model = kv.Sequential([inputs, kv.VanillaRNN(4, stateful=True), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **ways)
    return model, *fit(model, X[:40], Y[:40])


@pytest.fixture
def calls(monkeypatch):
    """Counts the calls that make the updates of a window."""
    counted = []
    original = epoch.EpochFunction.__call__
    monkeypatch.setattr(
        epoch.EpochFunction, "__call__", lambda self, windows: counted.append(1) or original(self, windows)
    )
    return counted


def observe(function, ways):
    keras.utils.clear_session()  # so that the names of variables are the same
    keras.utils.set_random_seed(5)
    model, history, norms = function(ways)
    kept = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
    return kept, history, norms


def assert_same(function, calls, whole, rtol, atol):
    expected = observe(function, STEP_BY_STEP)
    assert not calls
    weights, history, norms = observe(function, whole)
    assert calls
    for ours, theirs in zip(weights, expected[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol, atol)
    assert set(history) == set(expected[1])
    for name, values in expected[1].items():
        np.testing.assert_allclose(history[name], values, rtol, atol, err_msg=name)
    assert len(norms) == len(expected[2])
    for name in norms.dtype.names:
        np.testing.assert_allclose(norms[name], expected[2][name], rtol, atol, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_epochs_train_as_batch_by_batch(name, calls):
    # The same kernels in the same order; TensorFlow may fuse some of them in one graph and not in the other.
    assert_same(CASES[name], calls, WHOLE, 1e-5, 1e-6)


@pytest.mark.parametrize(
    "name",
    ["weight_decay_and_moving_average", pytest.param("several_inputs_and_outputs", marks=pytest.mark.slow)],
)
def test_with_xla_they_train_to_float_rounding(name, calls):
    # float32 sums in another order, over 30 updates whose steps Adam takes from the sign of small gradients.
    assert_same(CASES[name], calls, {}, 1e-3, 1e-4)


def test_where_xla_has_other_random_numbers_epochs_run_without_it(calls):
    """The batches after the first, with which XLA is tried, are the right ones: of two windows, with dropout."""
    assert_same(CASES["adam_with_dropout_validation_and_weights"], calls, {}, 1e-5, 1e-6)


def test_an_update_that_is_not_finite_raises_as_batch_by_batch():
    x = X.copy()
    x[30] = np.inf
    seen = []
    for ways in (STEP_BY_STEP, WHOLE):
        keras.utils.set_random_seed(5)
        model = regressor(ways, optimizer="sgd", nonfinite="raise")
        with pytest.raises(FloatingPointError, match="gradient of step 8 is not finite"):
            model.fit(x, Y, batch_size=BATCH, shuffle=False, verbose=0)
        seen.append(model.get_weights())
    for ours, theirs in zip(*seen, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_second_fit_traces_nothing_and_trains_on(calls):
    traces = []

    def loss(y, p):
        traces.append(p)
        return keras.ops.mean(keras.ops.square(y - p), axis=-1)

    model = regressor(WHOLE, optimizer="sgd", loss=loss)
    lengths = []
    for rows in (ROWS, ROWS, 38):  # 38: other windows, the same batches
        model.fit(X[:rows], Y[:rows], batch_size=BATCH, verbose=0)
        lengths.append(len(traces))
    assert len(set(lengths)) == 1
    assert int(model.optimizer.iterations) == 11 + 11 + 10
    model.train_on_batch(X[:3], Y[:3])
    assert int(model.optimizer.iterations) == 33


def test_an_interrupted_epoch_goes_on_from_its_updates(calls):
    model = regressor(WHOLE, optimizer="sgd")

    def interrupt(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, X, Y, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=interrupt)])
    assert (model.steps_per_execution, int(model.optimizer.iterations)) == (1, 11)
    _, norms = fit(model, X, Y, epochs=1)
    assert len(norms) == 11


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_the_progress_bar_counts_batches(method, capsys):
    model = regressor(WHOLE, optimizer="sgd")
    data = (X,) if method == "predict" else (X, Y)
    getattr(model, method)(*data, batch_size=BATCH, verbose=1)
    output = capsys.readouterr().out
    assert " 8/11" in output
    assert "11/11" in output
    assert "16/11" not in output, "what two calls of eight batches would be"


def both_ways(method, *data, **options):
    """The result of `evaluate` or `predict` batch by batch, and of whole epochs in one program."""
    results = []
    for ways in (STEP_BY_STEP, WHOLE):
        keras.utils.set_random_seed(5)
        inputs = keras.Input((5, 3))
        h = kv.VanillaRNN(4, dropout=0.5)(keras.layers.BatchNormalization()(inputs))
        outputs = {"y": keras.layers.Dense(1, name="y")(h), "x": keras.layers.Identity(name="x")(inputs)}
        model = kv.Model(inputs, outputs)
        model.compile("sgd", {"y": "mse", "x": "mae"}, metrics={"y": ["mae"]}, **ways)
        result = getattr(model, method)(*data, batch_size=BATCH, verbose=0, **options)
        assert bool(model._loops) is (ways is WHOLE)
        results.append(result)
    return results


@pytest.mark.parametrize("rows", [ROWS, 40, 8])
def test_predictions_are_those_of_batches(rows):
    expected, found = both_ways("predict", X[:rows])
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert type(found[name]) is np.ndarray
        # The same kernels in the same order.
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("rows", [ROWS, 40])
def test_evaluations_are_those_of_batches(rows):
    expected, found = both_ways("evaluate", X[:rows], {"y": Y[:rows], "x": 2 * X[:rows]}, return_dict=True)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_a_callback_that_sees_batches_of_an_evaluation_sees_each(method):
    model, seen = regressor(WHOLE, optimizer="sgd"), []
    name = {"evaluate": "on_test_batch_end", "predict": "on_predict_batch_end"}[method]
    callback = keras.callbacks.LambdaCallback(**{name: lambda batch, logs: seen.append(batch)})
    data = (X,) if method == "predict" else (X, Y)
    getattr(model, method)(*data, batch_size=BATCH, verbose=0, callbacks=[callback])
    assert seen == list(range(11))
    fit(model, X, Y, validation_data=(X, Y), callbacks=[callback], epochs=1)
    assert len(seen) == (22 if method == "evaluate" else 11)


def test_a_gru_that_xla_takes_only_inside_its_program():
    """Its gradient has lists whose length XLA knows only if the step is traced inside the program."""
    x = np.random.default_rng(0).normal(size=(24, 6, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(24, 6, 2)).astype("float32")
    weights = []
    for options in ({"steps_per_execution": 1, "jit_compile": True}, {"jit_compile": True}, {}):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 3))
        h = keras.layers.GRU(4, return_sequences=True)(inputs)
        made = kv.Model(inputs, keras.layers.Dense(2)(h))
        made.compile("sgd", "mse", global_clipnorm=1.0, **options)
        made.fit(x, y, batch_size=8, epochs=2, verbose=0)
        weights.append(made.get_weights())
    for one, *others in zip(*weights, strict=True):
        for other in others:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # six updates in float32

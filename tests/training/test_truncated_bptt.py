"""Windows of a sequence, against a NumPy TBPTT, full BPTT, and stock Keras on windows cut by hand."""

import keras
import numpy as np
import pytest
from tbptt import BATCH, FEATURES, RATE, TARGETS, UNITS, Oracle, data, vanilla_model
from trainings import RECORDED, TRAINED, weights_of

import keras_vrnn as kv


def padded(x, lengths):
    """Marks as padding what comes after each length, and one step in the middle."""
    x = np.where(np.arange(x.shape[1])[:, None] < np.reshape(lengths, (-1, 1, 1)), x, np.float32(9))
    x[0, 2] = 9
    return x


CASES = {
    "one window": {"time": 6, "k": 6},
    "k above T": {"time": 5, "k": 7},
    "k divides T": {"time": 12, "k": 4},
    "k does not divide T": {"time": 14, "k": 4},
    "every step": {"time": 5, "k": 1},
    "two windows, one short": {"time": 7, "k": 4},
    "masks": {"time": 14, "k": 4, "lengths": [14, 9, 3]},
    "weights": {"time": 14, "k": 4, "weighted": True},
    "masks and weights": {"time": 10, "k": 3, "lengths": [10, 4, 7], "weighted": True},
}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_windows_of_a_fast_rnn_equal_a_numpy_tbptt(jit_compile):
    x, y = data(14)
    recurrent = [kv.FastRNN(UNITS, return_sequences=True, bias_initializer="random_normal")]
    model = vanilla_model(4, recurrent=recurrent, jit_compile=jit_compile)
    oracle = Oracle(model.get_weights(), RATE)
    history = model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0).history
    expected = oracle.train(x, y, 4)
    # As in the test of the vanilla RNN below.
    np.testing.assert_allclose(weights_of(model), oracle.flat(), atol=1e-5)
    assert history["loss"][0] == pytest.approx(expected, rel=RECORDED)


COMPILED = ("k does not divide T", "k divides T", "masks and weights")


@pytest.mark.parametrize(
    ("case", "jit_compile"), [*((case, False) for case in CASES), *((case, True) for case in COMPILED)]
)
def test_windows_equal_a_numpy_tbptt(case, jit_compile):
    time, k, lengths, weighted = (CASES[case].get(n) for n in ("time", "k", "lengths", "weighted"))
    x, y = data(time, batch=2 * BATCH)
    if lengths:
        x = padded(x, 2 * lengths)
    weight = np.random.default_rng(1).random((len(x), time)).astype("float32") if weighted else None
    model = vanilla_model(k, masked=bool(lengths), jit_compile=jit_compile)
    oracle = Oracle(model.get_weights(), RATE)
    norms = kv.callbacks.GradientNorms()
    history = model.fit(
        x, y, sample_weight=weight, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[norms]
    ).history

    expected = []
    for batch in (slice(0, BATCH), slice(BATCH, None)):  # the second starts from zero states
        mask = np.any(x[batch] != 9, axis=-1) if lengths else None
        expected.append(oracle.train(x[batch], y[batch], k, mask, None if weight is None else weight[batch]))
    # float32 over at most 14 updates of a rate of 0.3.
    np.testing.assert_allclose(weights_of(model), oracle.flat(), atol=1e-5)
    assert norms.steps.tolist() == list(range(1, 2 * -(-time // k) + 1))
    np.testing.assert_allclose(norms.norms, oracle.norms, atol=1e-5)
    assert history["loss"][0] == pytest.approx(np.mean(expected), rel=RECORDED)
    assert history["grad_norm"][0] == pytest.approx(np.mean(oracle.norms), rel=RECORDED)


@pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1)], ids=str)
@pytest.mark.parametrize(
    "k", [BATCH, 4]
)  # with as many steps as sequences, weights of sequences could weight the steps
def test_one_weight_per_sequence_holds_for_all_its_steps(k, shape):
    x, y = data(14)
    weight = np.array([0.2, 1.0, 3.0], "float32")
    model = vanilla_model(k, weighted_metrics=["mae"], jit_compile=False)
    oracle = Oracle(model.get_weights(), RATE)
    per_step = np.repeat(weight[:, None], 14, axis=1)
    expected = oracle.train(x, y, k, None, per_step)
    logs = model.train_on_batch(x, y, sample_weight=weight.reshape(shape), return_dict=True)
    np.testing.assert_allclose(weights_of(model), oracle.flat(), atol=1e-5)
    assert logs["loss"] == pytest.approx(expected, rel=RECORDED)

    sequences = model.evaluate(x, y, sample_weight=weight.reshape(shape), verbose=0, return_dict=True)
    assert sequences == pytest.approx(
        model.evaluate(x, y, sample_weight=per_step, verbose=0, return_dict=True), rel=RECORDED
    )


def test_weights_of_sequences_and_of_steps_for_two_outputs():
    x, y = data(9)
    inputs = keras.Input((None, FEATURES))
    h = kv.VanillaRNN(UNITS, return_sequences=True)(inputs)
    outputs = {name: keras.layers.Dense(TARGETS, name=name)(h) for name in "ab"}
    model = kv.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(RATE), "mse", truncate_steps=BATCH)
    start = model.get_weights()
    weight = np.array([0.2, 1.0, 3.0], "float32")
    per_step = np.repeat(weight[:, None], 9, axis=1)
    trained = []
    for weights in ({"a": weight, "b": per_step}, {"a": per_step, "b": weight}):
        model.set_weights(start)
        model.fit(x, {"a": y, "b": y}, sample_weight=weights, verbose=0)
        trained.append(weights_of(model))
    np.testing.assert_allclose(trained[0], trained[1], atol=TRAINED)


def test_the_oracle_notices_a_gradient_through_the_window_and_a_lost_state():
    x, y = data(12)
    model = vanilla_model(4)
    weights = {k: Oracle(model.get_weights(), RATE) for k in (4, 12)}
    for k, oracle in weights.items():
        oracle.train(x, y, k)
    lost = Oracle(model.get_weights(), RATE)
    for start in (0, 4, 8):
        lost.train(x[:, start : start + 4], y[:, start : start + 4], 4)
    for other in (weights[12], lost):
        assert np.max(abs(weights[4].flat() - other.flat())) > 1e-2


# Every kind of recurrent layer: the same windows, fed by hand to stateful layers of stock Keras.


def recurrences(stateful):
    options = {"return_sequences": True, "stateful": stateful}
    cells = keras.layers.StackedRNNCells
    return {
        "vanilla": lambda: [kv.VanillaRNN(UNITS, **options)],
        "simple": lambda: [keras.layers.SimpleRNN(UNITS, **options)],
        "lstm": lambda: [keras.layers.LSTM(UNITS, **options)],
        "gru": lambda: [keras.layers.GRU(UNITS, **options)],
        "two layers": lambda: [keras.layers.LSTM(UNITS, **options), kv.VanillaRNN(3, **options)],
        "cells": lambda: [
            keras.layers.RNN(cells([keras.layers.LSTMCell(UNITS), keras.layers.GRUCell(3)]), **options)
        ],
        "stack": lambda: [kv.StackedVanillaRNN([UNITS, 3], **options)],
    }


def reset(model):
    for layer in model._flatten_layers(include_self=False):
        for state in keras.tree.flatten(getattr(layer, "states", None) or []):
            state.assign(np.zeros(state.shape))


@pytest.mark.parametrize("kind", recurrences(False))
def test_every_recurrent_layer_equals_stateful_layers_of_keras(kind):
    (x, y), k, epochs = data(11), 4, 2
    model = vanilla_model(k, recurrent=recurrences(False)[kind](), jit_compile=False)
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    stock = keras.Sequential([inputs, *recurrences(True)[kind](), keras.layers.Dense(TARGETS)])
    stock.compile(keras.optimizers.SGD(RATE), "mse", run_eagerly=True)
    stock.set_weights(model.get_weights())

    history = model.fit(x, y, epochs=epochs, shuffle=False, verbose=0).history
    for epoch in range(epochs):
        reset(stock)
        loss = 0.0
        for start in range(0, 11, k):
            part = slice(start, start + k)
            loss += stock.train_on_batch(x[:, part], y[:, part]) * len(x[0, part]) / 11
        assert history["loss"][epoch] == pytest.approx(loss, rel=RECORDED)
    np.testing.assert_allclose(weights_of(model), weights_of(stock), atol=TRAINED)


def test_one_window_equals_full_bptt_with_all_its_logs():
    x, y = data(9)
    histories, weights = [], []
    for k in (9, 20, None):
        model = vanilla_model(k, optimizer="adam", metrics=["mae"], global_clipnorm=0.2, jit_compile=False)
        histories.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history)
        weights.append(weights_of(model))
    for history, each in zip(histories[:2], weights[:2], strict=True):
        np.testing.assert_allclose(each, weights[2], atol=TRAINED)
        assert history.keys() == histories[2].keys()
        for name, values in histories[2].items():
            np.testing.assert_allclose(history[name], values, rtol=RECORDED, err_msg=name)


def test_metrics_and_loss_are_those_of_whole_sequences():
    """With a rate of 0 the outputs of the windows are those of `evaluate`, which uses no windows."""
    x, y = data(14, batch=6)
    x = padded(x, [14, 9, 3, 14, 6, 11])
    weight = np.random.default_rng(1).random((6, 14)).astype("float32")
    model = vanilla_model(
        4,
        masked=True,
        optimizer=keras.optimizers.SGD(0.0),
        metrics=["mae", keras.metrics.RootMeanSquaredError()],
        weighted_metrics=["mse"],
        jit_compile=False,
    )
    arguments = {"sample_weight": weight, "batch_size": 6, "verbose": 0}
    history = model.fit(x, y, **arguments).history
    for name, value in model.evaluate(x, y, return_dict=True, **arguments).items():
        assert history[name][0] == pytest.approx(value, rel=RECORDED), name


HOW = {
    "xla, steps_per_execution": {"steps_per_execution": 3, "jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 3, "jit_compile": False},
    "eager": {"run_eagerly": True},
}


def test_how_the_loop_is_run_changes_nothing():
    x, y = data(6, batch=4 * BATCH)
    results = {}
    for name, how in {"plain": {"jit_compile": False}, **HOW}.items():
        model, norms = vanilla_model(4, metrics=["mae"], **how), kv.callbacks.GradientNorms()
        history = model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[norms]).history
        results[name] = weights_of(model), norms.norms, history
    weights, norms, history = results.pop("plain")
    assert len(norms) == 8
    for name, (other, other_norms, other_history) in results.items():
        np.testing.assert_allclose(
            other, weights, atol=1e-5, err_msg=name
        )  # sums in another order, 8 updates
        np.testing.assert_allclose(other_norms, norms, rtol=1e-4, err_msg=name)
        assert other_history["mae"] == pytest.approx(history["mae"], rel=1e-4), name


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_lengths_that_change_from_batch_to_batch(jit_compile):
    """Keras then traces a step for an unknown length: 4, 6 and 3 are divided by k, less than it, or neither."""
    lengths = (8, 10, 4, 3, 8, 6, 12)
    model = vanilla_model(4, jit_compile=jit_compile, metrics=["mae"])
    oracle, norms = Oracle(model.get_weights(), RATE), kv.callbacks.GradientNorms()
    norms.set_model(model)
    for seed, time in enumerate(lengths):
        x, y = data(time, seed)
        oracle.train(x, y, 4)
        model.train_on_batch(x, y)
    np.testing.assert_allclose(norms.norms, oracle.norms, atol=1e-5)
    np.testing.assert_allclose(weights_of(model), oracle.flat(), atol=1e-5)


def test_float16_with_loss_scaling_skips_the_overflow_and_goes_on():
    keras.utils.set_random_seed(1)
    x, y = data(12)
    layers = [keras.layers.LSTM(UNITS, return_sequences=True, dtype="mixed_float16")]
    model = kv.Sequential([keras.Input((None, FEATURES)), *layers, keras.layers.Dense(TARGETS)])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE), initial_scale=2.0**24)
    model.compile(optimizer, "mse", truncate_steps=4)
    start = weights_of(model)
    norms = kv.callbacks.GradientNorms()
    history = model.fit(x, y, epochs=8, verbose=0, callbacks=[norms]).history
    skipped = int(np.sum(~norms.applied))
    assert 0 < skipped == sum(history["skipped_steps"])
    assert int(optimizer.iterations) == len(norms.norms) - skipped == 24 - skipped
    assert np.isfinite(weights_of(model)).all()
    assert np.max(abs(weights_of(model) - start)) > 0.01
    assert history["loss"][-1] < history["loss"][0]


def test_stateful_layers_go_on_from_batch_to_batch_and_others_do_not():
    x, y = data(12)
    inputs = keras.Input(batch_shape=(BATCH, None, FEATURES))
    layers = [kv.VanillaRNN(UNITS, return_sequences=True, stateful=True), keras.layers.Dense(TARGETS)]
    stateful = kv.Sequential([inputs, *layers])
    stateful.compile(keras.optimizers.SGD(RATE), "mse", truncate_steps=3)
    oracle = Oracle(stateful.get_weights(), RATE)
    oracle.train(x, y, 3)
    for part in (slice(0, 6), slice(6, 12)):
        stateful.train_on_batch(x[:, part], y[:, part])
    np.testing.assert_allclose(weights_of(stateful), oracle.flat(), atol=1e-5)


def test_keras_file_round_trip(tmp_path):
    x, y = data(10)
    model = vanilla_model(4, optimizer="adam")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.gradient_settings.truncate_steps == 4
    for each in (model, loaded):
        each.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights_of(loaded), weights_of(model), atol=TRAINED)


def test_a_window_without_finite_gradient_is_left_out_and_the_others_count():
    """relu carries inf on, so that all later windows of that row are lost, and the next batch is not."""
    x, y = data(9, batch=2 * BATCH)
    x[0, 4] = np.inf
    layer = kv.VanillaRNN(UNITS, activation="relu", return_sequences=True, kernel_initializer="ones")
    model, norms = vanilla_model(3, recurrent=[layer], jit_compile=False), kv.callbacks.GradientNorms()
    history = model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[norms]).history
    assert norms.applied.tolist() == [True, False, False, True, True, True]
    assert history["skipped_steps"] == [2.0]
    assert int(model.optimizer.iterations) == 4
    assert np.isfinite(weights_of(model)).all()


@pytest.mark.slow
def test_memory_of_a_step_does_not_grow_with_the_length():
    from benchmarks.truncated_memory import growth

    full, truncated = growth("VanillaRNN", steps=4000, window=50)
    # Measured 16 %; a process' peak is known to a few MiB.
    assert truncated <= full / 4, f"{truncated:.0f} MiB, {full:.0f} MiB with full BPTT"

"""The native kernel behind the layers on TensorFlow: where it serves, where not, and the same numbers either way."""

import threading

import keras
import numpy as np
import pytest
from oracle_errors import NEEDS_TENSORFLOW

import keras_vrnn as kv
from keras_vrnn.layers import native_path

tf = pytest.importorskip("tensorflow")
pytestmark = [NEEDS_TENSORFLOW, pytest.mark.usefixtures("native_on")]

if keras.backend.backend() == "tensorflow":
    from native_steps import BOTH, RNG, X, Y, assert_same, make, native_ops, off, train_step


@pytest.mark.parametrize("return_sequences", [False, True])
def test_a_train_step_runs_natively_with_the_same_numbers(return_sequences):
    step = train_step(make(return_sequences=return_sequences))
    traced = tf.function(step)
    assert native_ops(traced, tf.constant(X)) == BOTH
    expected = off(step, tf.constant(X))
    assert_same(traced(tf.constant(X)), expected)
    assert_same(step(tf.constant(X)), expected)  # eager


def test_xla_and_programs_inside_it_take_the_other_path():
    layer = make()
    inner = tf.function(train_step(layer))
    outer = tf.function(lambda x: inner(x), jit_compile=True)
    assert native_ops(outer, tf.constant(X)) == []
    assert_same(outer(tf.constant(X)), off(train_step(layer), tf.constant(X)))


def test_a_program_announced_for_xla_takes_the_other_path():
    """`fit` traces a step before XLA compiles it."""
    layer = make()  # held, because a concrete function does not hold variables
    with native_path.for_xla(), native_path.in_process():
        step = tf.function(train_step(layer)).get_concrete_function(tf.constant(X))
    assert_same(tf.function(step, jit_compile=True)(tf.constant(X)), step(tf.constant(X)))


def test_inference_in_the_users_own_programs_stays_portable(tmp_path):
    """A SavedModel, and a converter, must not meet an op that only this package has."""
    model = kv.Sequential([keras.Input((9, 3)), make(), keras.layers.Dense(1)])
    assert native_ops(tf.function(lambda x: model(x)), tf.constant(X)) == []
    model.predict(X, verbose=0)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    assert b"KerasVrnn" not in (tmp_path / "saved" / "saved_model.pb").read_bytes()
    np.testing.assert_allclose(loaded.serve(X), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)


def test_predict_and_evaluate_run_natively(tmp_path, monkeypatch):
    model = kv.Sequential([keras.Input((9, 3)), make(return_sequences=True), make2(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    expected = off(lambda: (model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    used = []
    original = native_path.over_time
    monkeypatch.setattr(native_path, "over_time", lambda *a, **k: used.append(1) or original(*a, **k))
    assert_same((loaded.predict(X, verbose=0), loaded.evaluate(X, Y, verbose=0)), expected)
    assert len(used) == 4  # two layers, in two programs


def make2():
    return kv.VanillaRNN(4, activation="sigmoid")


def test_fit_runs_natively_and_is_reproducible():
    def fitted():
        keras.utils.set_random_seed(1)
        layers = [kv.VanillaRNN(5, dropout=0.2, recurrent_dropout=0.2, seed=3), keras.layers.Dense(1)]
        model = kv.Sequential([keras.Input((9, 3)), *layers])
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
        return model.get_weights()

    first, second, without = fitted(), fitted(), off(fitted)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(first, without)


def test_two_models_fit_in_two_threads():
    def fitted(seed):
        layers = [
            kv.VanillaRNN(32, kernel_initializer=keras.initializers.GlorotUniform(seed)),
            keras.layers.Dense(1),
        ]
        layers[0].cell.recurrent_initializer = keras.initializers.Orthogonal(seed=seed)
        layers[1].kernel_initializer = keras.initializers.GlorotUniform(seed)
        model = kv.Sequential([keras.Input((20, 8)), *layers])
        model.compile("adam", "mse")
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(64, 20, 8)).astype("float32"), rng.normal(size=(64, 1)).astype("float32")
        model.fit(x, y, batch_size=16, epochs=3, verbose=0, shuffle=False)
        return model.get_weights()

    expected = [fitted(seed) for seed in (1, 2)]
    found = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: fitted(s)})) for s in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, weights in zip((1, 2), expected, strict=True):
        for a, b in zip(found[seed], weights, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "make_model",
    [
        lambda: [kv.Bidirectional(kv.VanillaRNN(4))],
        lambda: [kv.StackedVanillaRNN([4, 5])],
        lambda: [keras.layers.Masking(), kv.VanillaRNN(4, return_sequences=True, zero_output_for_mask=True)],
        lambda: [kv.VanillaRNN(4, go_backwards=True, return_sequences=True, unroll=True)],
    ],
    ids=["bidirectional", "stacked", "masked", "unrolled backwards"],
)
def test_layers_around_it(make_model):
    model = keras.Sequential([keras.Input((9, 3)), *make_model()])
    x = X * (np.arange(9)[None, :, None] < np.array([9, 1, 4, 7, 9, 2])[:, None, None])

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(model(x, training=True)))
        return loss, *tape.gradient(loss, [x, *model.trainable_weights])

    traced = tf.function(step)
    assert native_ops(traced, tf.constant(x)) == BOTH
    assert_same(traced(tf.constant(x)), off(step, tf.constant(x)))


def test_time_distributed_and_stateful():
    inner = keras.layers.TimeDistributed(kv.VanillaRNN(4))
    x = RNG.normal(size=(2, 3, 5, 4)).astype("float32")
    assert_same(inner(x), off(inner, x))
    layer = kv.VanillaRNN(4, stateful=True)
    layer.build((2, 5, 4))
    chunks = [layer(x[:, 0]), layer(x[:, 1])]
    layer.reset_state()
    assert_same(chunks, off(lambda: [layer(x[:, 0]), layer(x[:, 1])]))


def test_dynamic_batch_and_length_retrace_nothing():
    layer, traces = make(), []

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3))])
    def step(x):
        traces.append(1)
        return train_step(layer)(x)

    for batch, time in ((6, 9), (1, 1), (4, 2), (0, 3)):
        x = tf.constant(X[:batch, :time])
        assert_same(step(x), off(train_step(layer), x))
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"activation": "elu"}, "linear, relu, sigmoid, tanh, not elu"),
        ({"dtype": "float64"}, "float32, not float64"),
        ({"dtype": "mixed_bfloat16"}, "float32, not bfloat16"),
    ],
)
def test_what_the_kernel_does_not_have(options, reason):
    layer = make(**options)
    (info,) = kv.backend_info(layer)
    assert info.path == "hand-written"
    assert reason in info.reason
    assert native_ops(tf.function(lambda x: layer(x, training=True)), tf.constant(X)) == []


def test_strategies_take_the_other_path():
    layer = make()
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert native_ops(tf.function(lambda x: layer(x, training=True)), tf.constant(X)) == []


def test_inside_a_data_pipeline():
    layer = make()
    (found,) = tf.data.Dataset.from_tensors(X).map(layer)
    assert_same(found, off(layer, X))

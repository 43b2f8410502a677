"""The update, measured, clipped and applied, against plain GradientTape, NumPy and stock Keras."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from trainings import RECORDED, TRAINED, linear_model, mean, recurrent_model, sequences, weights_of

import keras_vrnn as kv
from keras_vrnn.training.callbacks import GradientNorms


def independent_norms(model, optimizer, x, y, steps, batch, threshold, scale=1.0):
    """Trains a stock model by hand: n_i of each step in float64, then clipping by the formula."""

    @tf.function
    def gradients(x, y):
        with tf.GradientTape() as tape:
            outputs = tf.cast(model(x, training=True), tf.float32)
            loss = tf.reduce_mean(tf.square(outputs - y)) * scale
        return [tf.convert_to_tensor(g) / scale for g in tape.gradient(loss, model.trainable_variables)]

    rows = []
    for step in range(steps):
        part = slice(step * batch % len(x), step * batch % len(x) + batch)
        g = [tensor.numpy() for tensor in gradients(x[part], y[part])]
        n_i = [np.linalg.norm(np.float64(array)) for array in g]
        n = np.linalg.norm(n_i)
        rows.append([n, *n_i])
        optimizer.apply(
            [tf.constant(array * min(1, threshold / n)) for array in g], model.trainable_variables
        )
    return np.array(rows)


@pytest.fixture(scope="module")
def expected():
    """n and n_i of 200 steps on batches of 12, clipped at 0.35."""
    x, y = sequences()
    return independent_norms(recurrent_model(keras.Model), keras.optimizers.SGD(0.05), x, y, 200, 12, 0.35)


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("steps_per_execution", [1, 7])
def test_200_recorded_steps_equal_an_independent_recomputation(expected, steps_per_execution, jit_compile):
    x, y = sequences()
    threshold = 0.35
    model = recurrent_model(kv.Model)
    model.compile(
        keras.optimizers.SGD(0.05),
        "mse",
        global_clipnorm=threshold,
        steps_per_execution=steps_per_execution,
        jit_compile=jit_compile,
    )
    norms = GradientNorms()
    model.fit(x, y, batch_size=12, epochs=25, shuffle=False, verbose=0, callbacks=[norms])

    assert norms.steps.tolist() == list(range(1, 201))
    np.testing.assert_allclose(norms.norms, expected[:, 0], rtol=RECORDED)
    recorded = np.stack(list(norms.variable_norms.values()), axis=1)
    np.testing.assert_allclose(recorded, expected[:, 1:], rtol=RECORDED)
    factors = np.minimum(1, threshold / expected[:, 0])
    assert 0 < np.mean(factors < 1) < 1, (
        "the threshold must lie among the norms for this test to mean something"
    )
    np.testing.assert_allclose(norms.clipped_norms, expected[:, 0] * factors, rtol=RECORDED)
    clipped = np.stack(list(norms.clipped_variable_norms.values()), axis=1)
    np.testing.assert_allclose(clipped, expected[:, 1:] * factors[:, None], rtol=RECORDED)
    assert (np.float64(norms.clipped_norms) <= threshold).all()


def test_repeated_tokens_are_summed_before_they_are_measured():
    model = kv.Sequential(
        [keras.Input((4,), dtype="int32"), keras.layers.Embedding(5, 1), keras.layers.Flatten()]
    )
    model.compile(keras.optimizers.SGD(1.0), lambda y, p: keras.ops.sum(p, axis=-1), global_clipnorm=1.0)
    norms = GradientNorms()
    before = weights_of(model)
    model.fit(np.array([[3, 3, 3, 1]]), np.zeros((1, 1)), verbose=0, callbacks=[norms])
    # dL/dE = (0, 1, 0, 3, 0): norm √10. Counted row by row, four ones would give 2.
    np.testing.assert_allclose(norms.norms, [np.sqrt(10)], rtol=TRAINED)
    expected = before - np.array([0, 1, 0, 3, 0]) / np.sqrt(10)
    np.testing.assert_allclose(weights_of(model), expected, atol=TRAINED)


# Gradients that are not finite.


def batches_with_one_inf(bad=20, count=50):
    x = np.random.default_rng(0).normal(size=(count, 2)).astype("float32")
    x[bad, 1] = np.inf
    return x, np.zeros((count, 1), "float32")


@pytest.mark.parametrize(
    "how", [{}, {"steps_per_execution": 7}, {"jit_compile": True}, {"run_eagerly": True}], ids=str
)
def test_one_inf_among_50_batches_skips_one_update(how):
    x, y = batches_with_one_inf()
    model = linear_model(optimizer=keras.optimizers.Adam(0.01), global_clipnorm=1.0, **how)
    norms = GradientNorms()
    history = model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[norms]).history
    assert history["skipped_steps"] == [1.0]
    assert int(model.optimizer.iterations) == 49
    assert np.flatnonzero(~norms.applied).tolist() == [20]
    assert norms.norms[20] == np.inf
    assert norms.clipped_norms[20] == 0
    finite = np.delete(x, 20, axis=0)
    n = np.linalg.norm(np.float64(finite), axis=1)
    assert history["grad_norm"][0] == pytest.approx(n.mean(), rel=RECORDED)
    assert history["clip_fraction"][0] == pytest.approx(np.mean(n > 1), rel=RECORDED)

    stock = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    stock.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0), mean)
    stock.fit(finite, y[:49], batch_size=1, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights_of(model), weights_of(stock), atol=TRAINED)


@pytest.mark.parametrize("steps_per_execution", [1, 7])
def test_raise_names_step_and_variables_and_keeps_the_weights(steps_per_execution):
    x, y = batches_with_one_inf()
    model = linear_model(nonfinite="raise", steps_per_execution=steps_per_execution)
    norms = GradientNorms()
    with pytest.raises(FloatingPointError, match=r"step 21 is not finite, for \S*dense\S*/kernel \(inf\)"):
        model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[norms])
    # 20 additions of float32.
    np.testing.assert_allclose(weights_of(model), -x[:20].sum(axis=0), atol=1e-5)
    assert norms.steps[-1] == 21
    # The model is not left in a state of refusal.
    model.fit(x[:5], y[:5], batch_size=1, verbose=0)
    assert int(model.optimizer.iterations) == 25


def test_apply_updates_with_a_gradient_that_is_not_finite():
    x, y = batches_with_one_inf(bad=1, count=2)
    model = linear_model(nonfinite="apply")
    history = model.fit(x, y, batch_size=1, shuffle=False, verbose=0).history
    assert not np.isfinite(weights_of(model)).all()
    assert history["skipped_steps"] == [0.0]
    assert int(model.optimizer.iterations) == 2


# Loss scaling.


def test_float16_norms_are_norms_of_the_unscaled_gradient():
    x, y = sequences()
    model = recurrent_model(kv.Model, dtype="mixed_float16")
    # A scale at which the first gradients overflow float16.
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=2.0**24)
    model.compile(optimizer, "mse", global_clipnorm=0.35)
    norms = GradientNorms()
    history = model.fit(x, y, batch_size=12, epochs=4, shuffle=False, verbose=0, callbacks=[norms]).history
    skipped = np.sum(~norms.applied)
    assert 0 < skipped == sum(history["skipped_steps"])
    assert int(optimizer.iterations) == 32 - skipped
    assert float(optimizer.dynamic_scale) == 2.0 ** (24 - skipped)
    assert (norms.clipped_norms <= np.float32(0.35)).all()

    taken = np.flatnonzero(norms.applied)[:16] % 8
    x, y = (np.concatenate([array[12 * i : 12 * i + 12] for i in taken]) for array in (x, y))
    full_precision = independent_norms(
        recurrent_model(keras.Model), keras.optimizers.SGD(0.05), x, y, 16, 12, 0.35
    )
    # float16 keeps three digits, of which some are lost over six time steps.
    np.testing.assert_allclose(norms.norms[norms.applied][:16], full_precision[:, 0], rtol=0.02)


def test_float16_norms_equal_a_recomputation_with_the_same_scale():
    x, y = sequences()
    scale = 2.0**10
    model = recurrent_model(kv.Model, dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=scale)
    model.compile(optimizer, "mse", global_clipnorm=0.35)
    norms = GradientNorms()
    norms.set_model(model)
    for step in range(8):
        part = slice(12 * step, 12 * step + 12)
        with tf.GradientTape() as tape:
            loss = (
                tf.reduce_mean(tf.square(tf.cast(model(x[part], training=True), "float32") - y[part])) * scale
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        n_i = [np.linalg.norm(np.float64(tf.convert_to_tensor(g))) / scale for g in gradients]
        model.train_on_batch(x[part], y[part])
        # A graph and eager mode round float16 alike but for fused operations: a few of its 1e-3.
        np.testing.assert_allclose(norms.norms[step], np.linalg.norm(n_i), rtol=2e-3)


@pytest.mark.parametrize(
    ("steps_per_execution", "jit_compile"), [(1, False), (7, True)], ids=["graph", "xla, 7 an execution"]
)
def test_200_recorded_float16_steps_equal_an_independent_recomputation(steps_per_execution, jit_compile):
    x, y = sequences()
    scale = 2.0**10
    expected = independent_norms(
        recurrent_model(keras.Model, "mixed_float16"), keras.optimizers.SGD(0.05), x, y, 200, 12, 0.35, scale
    )
    model = recurrent_model(kv.Model, dtype="mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05), initial_scale=scale)
    how = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
    model.compile(optimizer, "mse", global_clipnorm=0.35, **how)
    norms = GradientNorms()
    model.fit(x, y, batch_size=12, epochs=25, shuffle=False, verbose=0, callbacks=[norms])
    assert norms.applied.tolist() == [True] * 200
    # float16 keeps three digits, of which fused operations round some otherwise; no step may stand out, nor all drift.
    np.testing.assert_allclose(norms.norms, expected[:, 0], rtol=0.02)
    assert np.mean(norms.norms / expected[:, 0]) == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(norms.clipped_norms, np.minimum(norms.norms, np.float32(0.35)), rtol=RECORDED)


def test_a_static_loss_scale_changes_nothing():
    x, y = sequences()
    results = []
    for factor in (None, 64.0):
        model = recurrent_model(kv.Model)
        model.compile(keras.optimizers.SGD(0.05, loss_scale_factor=factor), "mse", global_clipnorm=0.2)
        norms = GradientNorms()
        model.fit(x, y, batch_size=12, shuffle=False, verbose=0, callbacks=[norms])
        results.append((weights_of(model), norms.norms))
    np.testing.assert_allclose(results[1][0], results[0][0], atol=TRAINED)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=RECORDED)


def test_raise_under_loss_scaling_waits_until_the_scale_is_one():
    x, y = np.full((8, 2), np.inf, "float32"), np.zeros((8, 1), "float32")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=8.0)
    model = linear_model(optimizer=optimizer, nonfinite="raise")
    # 8, 4 and 2 are lowered; at 1 it is not the scale's fault.
    with pytest.raises(FloatingPointError, match="step 4 is not finite"):
        model.fit(x, y, batch_size=1, verbose=0)
    assert not weights_of(model).any()


# Gradient accumulation.


def test_accumulation_clips_the_average():
    x, y = sequences()
    results = []
    for model_class, on_optimizer, in_compile in (
        (keras.Model, {"global_clipnorm": 0.2}, {}),
        (kv.Model, {}, {"global_clipnorm": 0.2}),
    ):
        model = recurrent_model(model_class)
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=3, **on_optimizer)
        model.compile(optimizer, "mse", **in_compile)
        norms = GradientNorms()
        callbacks = [norms] if model_class is kv.Model else []
        history = model.fit(
            x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks
        ).history
        results.append(weights_of(model))
    np.testing.assert_allclose(*results, atol=TRAINED)
    # 24 batches make 8 updates, each with the gradient of 24 rows.
    assert norms.steps.tolist() == list(range(1, 9))
    first = independent_norms(recurrent_model(keras.Model), keras.optimizers.SGD(0.0), x, y, 1, 24, 1.0)[0]
    np.testing.assert_allclose(norms.norms[0], first[0], rtol=RECORDED)
    assert history["clip_fraction"][0] == np.mean(norms.norms[:4] > 0.2)


@pytest.mark.parametrize("scaled", [False, True])
def test_accumulation_skips_a_batch_that_is_not_finite(scaled):
    x = np.array([[1, 0], [np.inf, 0], [3, 0], [0, 2], [0, 4]], "float32")
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=4.0)
    model = linear_model(optimizer=optimizer)
    norms = GradientNorms()
    model.fit(x, np.zeros((5, 1)), batch_size=1, shuffle=False, verbose=0, callbacks=[norms])
    # (1, 0) and (3, 0) make one update, (0, 2) and (0, 4) another; the loss scale is a power of two.
    np.testing.assert_array_equal(weights_of(model), [-2, -3])
    assert norms.applied.tolist() == [False, True, True]
    np.testing.assert_array_equal(norms.norms[1:], [2, 3])


# The optimizer's own clipping.


@pytest.mark.parametrize(
    "clipping", [{"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.4}], ids=str
)
def test_clipping_set_on_the_optimizer_is_applied_once_and_kept(clipping):
    optimizer = keras.optimizers.SGD(1.0, **clipping)
    with pytest.warns(UserWarning, match="The model takes over"):
        model = linear_model(optimizer=optimizer)
    x = np.array([[3.0, 4.0]], "float32")
    history = model.fit(x, np.zeros((1, 1)), verbose=0).history
    expected = [-0.4, -0.4] if "clipvalue" in clipping else [-0.3, -0.4]
    np.testing.assert_allclose(weights_of(model), expected, rtol=TRAINED)
    assert history["clip_fraction"] == [1.0]
    assert {name: getattr(optimizer, name) for name in clipping} == clipping
    # Compiled once more: neither lost nor said again.
    model.compile(optimizer, mean)
    model.fit(x, np.zeros((1, 1)), verbose=0)
    np.testing.assert_allclose(weights_of(model), 2 * np.array(expected), rtol=TRAINED)


# Replicas, in a process of their own: logical devices must be made before TensorFlow starts.


@pytest.fixture(scope="module")
def mirrored():
    script = pathlib.Path(__file__).parents[1] / "support" / "mirrored_training.py"
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_two_replicas_are_summed_before_they_are_clipped(mirrored):
    # Exact in float32 but for 1/3.
    np.testing.assert_allclose(mirrored["opposed"]["weights"], [-1, 0], atol=TRAINED)
    np.testing.assert_allclose(mirrored["opposed"]["norms"], [3], rtol=TRAINED)


@pytest.mark.parametrize("case", ["graph", "embedding, loss scale"])
def test_two_replicas_equal_one_device_on_the_whole_batch(mirrored, case):
    one, two = mirrored[case]["one"], mirrored[case]["two"]
    # The sum over replicas adds the same numbers in another order.
    np.testing.assert_allclose(two["weights"], one["weights"], atol=TRAINED)
    np.testing.assert_allclose(two["norms"], one["norms"], rtol=RECORDED)
    assert two["logs"].keys() == one["logs"].keys()
    for name, value in one["logs"].items():
        np.testing.assert_allclose(two["logs"][name], value, rtol=RECORDED, err_msg=name)


def test_inf_on_one_replica_skips_the_update_on_both(mirrored):
    assert mirrored["inf"]["skipped"] == [1.0]
    assert mirrored["inf"]["iterations"] == 3
    np.testing.assert_allclose(mirrored["inf"]["weights"], [-3, -3], atol=TRAINED)


def test_compile_refuses_what_two_replicas_do_not_support(mirrored):
    accumulation, execution, truncation = mirrored["refused"]
    assert "gradient_accumulation_steps=2 on 2 replicas" in accumulation
    assert "steps_per_execution=2 on 2 replicas" in execution
    assert "truncate_steps=1 on 2 replicas" in truncation

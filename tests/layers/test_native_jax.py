"""The native kernel behind the layers on JAX: every transformation works, with the same numbers as without it."""

import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

import keras_vrnn as kv

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("uses JAX as the backend of Keras", allow_module_level=True)

from native_on_jax import BOTH, MASK, X, Y, assert_same, both_ways, calls, loss_of, make, of_layer  # noqa: E402

pytestmark = pytest.mark.usefixtures("native_on")


@pytest.mark.parametrize("return_sequences", [False, True])
def test_a_compiled_train_step_calls_the_kernel(return_sequences):
    loss, weights = loss_of(make(return_sequences=return_sequences))
    step = jax.value_and_grad(loss, (0, 1))
    assert calls(step, weights, X) == BOTH
    assert_same(lambda: jax.jit(jax.value_and_grad(loss, (0, 1)))(weights, X))


def test_inference_calls_it_too_and_keeps_nothing():
    function, weights = of_layer(make(), training=False)
    assert calls(function, weights, X) == {"keras_vrnn_recurrence"}
    assert "tensor<6x0x5xf32>" in jax.jit(function).lower(weights, X).as_text()  # h of all steps


def test_no_unasked_input_gradient():
    loss, weights = loss_of(make())
    without, with_it = (jax.jit(jax.grad(loss, n)).lower(weights, X).as_text() for n in (0, (0, 1)))
    assert "tensor<0x9x3xf32>" in without
    assert "tensor<0x9x3xf32>" not in with_it


def test_without_jit():
    loss, weights = loss_of(make(return_sequences=True))

    def compute():
        with jax.disable_jit():
            return jax.grad(loss)(weights, X)

    assert_same(compute)


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_long_sequences_keep_blocks(return_sequences, go_backwards):
    layer = make(return_sequences=return_sequences, go_backwards=go_backwards)
    x = np.random.default_rng(1).normal(size=(2, 1100, 3)).astype("float32")
    loss, weights = loss_of(layer)
    text = jax.jit(jax.grad(loss)).lower(weights, x).as_text()
    assert ("tensor<2x18x5xf32>" in text) == (not return_sequences)  # 18 blocks of 64 steps
    for compute in (
        lambda: jax.jit(jax.grad(lambda w, x: loss(w, x), (0, 1)))(weights, x),
        lambda: jax.jit(jax.vmap(jax.grad(lambda w, x: loss(w, x), 1), (None, 0)))(weights, x[:, None]),
    ):
        for a, b in zip(*both_ways(compute), strict=True):
            # Sums of 2,200 terms, in another order.
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * max(1, np.max(abs(b))))


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("steps", [9, 1024, 1100])
def test_what_is_kept_is_the_same_either_way(steps, go_backwards):
    """A program may run the forward pass on one path and the gradient on the other."""
    from keras_vrnn.layers import native_jax
    from keras_vrnn.layers.block import Block
    from keras_vrnn.native import jax_kernel, kernel

    rng = np.random.default_rng(2)
    x, state, recurrent_kernel, inputs_kernel = (
        rng.normal(size=shape).astype("float32") / 2 for shape in ((2, steps, 3), (2, 4), (4, 4), (3, 4))
    )
    block = Block(keras.activations.tanh, None, False, go_backwards, False)
    settings = tuple(jax_kernel.settings("tanh", go_backwards).items())
    call = native_jax.Call(block, False, False, False, kernel.FOR_GRADIENT, settings)
    arrays = x, state, recurrent_kernel, inputs_kernel
    found = native_jax._recurrence_by_kernel(*arrays, call=call)
    for a, b in zip(found, native_jax._recurrence_by_jax(*arrays, call=call), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)  # float32 rounding over 1,100 steps of a contraction


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear"])
def test_nan_and_inf_travel_as_without_it(activation, value):
    x = X.copy()
    x[2, 3, 1] = value
    function, weights = of_layer(make(activation=activation, return_sequences=True))
    found, expected = both_ways(lambda: jax.jit(lambda x: function(weights, x))(x))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)  # NaN equals NaN, inf equals inf


def test_calls_from_two_threads():
    loss, weights = loss_of(make(64))
    step = jax.jit(jax.grad(loss))
    data = [np.random.default_rng(n).normal(size=(64, 50, 3)).astype("float32") for n in (1, 2)]
    expected = [step(weights, x) for x in data]
    wrong = []

    def work(x, wanted):
        for _ in range(30):
            wrong.extend(
                n for n, (a, b) in enumerate(zip(step(weights, x), wanted, strict=True)) if (a != b).any()
            )

    threads = [threading.Thread(target=work, args=pair) for pair in zip(data, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fit_has_the_same_weights():
    def fitted():
        keras.utils.set_random_seed(1)
        layers = [
            keras.layers.Masking(),
            kv.Bidirectional(
                kv.VanillaRNN(5, dropout=0.2, recurrent_dropout=0.2, return_sequences=True, seed=3)
            ),
            kv.VanillaRNN(4, activation="relu"),
            keras.layers.Dense(1),
        ]
        model = keras.Sequential([keras.Input((9, 3)), *layers])
        model.compile("adam", "mse")
        model.fit(X * MASK[:, :, None], Y, batch_size=4, epochs=5, verbose=0)
        return model.get_weights(), model.predict(X, verbose=0), model.evaluate(X, Y, verbose=0)

    for a, b in zip(*both_ways(fitted), strict=True):
        np.testing.assert_allclose(
            a, b, rtol=1e-3, atol=2e-5
        )  # Adam divides by small second moments, ten times


def test_stateful_time_distributed_and_unrolled():
    x = np.random.default_rng(5).normal(size=(2, 3, 5, 3)).astype("float32")
    layers = [
        keras.layers.TimeDistributed(kv.VanillaRNN(4)),
        kv.VanillaRNN(4, stateful=True),
        kv.VanillaRNN(4, unroll=True),
    ]

    def compute():
        outputs = [layers[0](x), layers[1](x[:, 0]), layers[1](x[:, 1]), layers[2](x[:, 0])]
        layers[1].reset_state()
        return outputs

    compute()  # builds
    assert_same(compute)


def test_exported_programs_do_without_the_library():
    loss, weights = loss_of(make())
    (batch,) = jax.export.symbolic_shape("b")
    like = [jax.ShapeDtypeStruct(w.shape, w.dtype) for w in weights]
    for function, leading in ((jax.grad(loss), 6), (loss, batch)):
        exported = jax.export.export(jax.jit(function))(
            like, jax.ShapeDtypeStruct((leading, 9, 3), "float32")
        )
        assert "keras_vrnn_recurrence" not in exported.mlir_module()
        loaded = jax.export.deserialize(exported.serialize())
        for a, b in zip(*map(jax.tree.leaves, (loaded.call(weights, X), function(weights, X))), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)  # float32 rounding


@pytest.mark.filterwarnings("ignore:The `native_serialization` parameter")  # which Keras passes to JAX
def test_saved_models_do_without_the_library(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = keras.Sequential([keras.Input((9, 3)), make(), keras.layers.Dense(1)])
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    np.testing.assert_allclose(
        loaded.serve(X), model.predict(X, verbose=0), rtol=1e-4, atol=1e-5
    )  # float32 rounding


def test_in_a_mesh_jax_computes_everything():
    """There, JAX tracks over which devices each array varies."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("d",))
    layer = make()
    spec, state = jax.sharding.PartitionSpec("d"), np.zeros((6, 5), "float32")

    def function(x, state):
        return layer(x, initial_state=state)

    def compute():
        return jax.shard_map(function, mesh=mesh, in_specs=(spec, spec), out_specs=spec)(X, state)

    assert calls(jax.shard_map(function, mesh=mesh, in_specs=(spec, spec), out_specs=spec), X, state) == set()
    assert_same(compute)


def test_double_precision_of_jax_changes_nothing():
    layer = make()
    loss, weights = loss_of(layer)
    jax.config.update("jax_enable_x64", True)
    try:
        assert calls(jax.grad(loss), weights, X) == BOTH
        assert {str(g.dtype) for g in jax.grad(loss)(weights, X)} == {"float32"}
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"activation": "elu"}, "linear, relu, sigmoid, tanh, not elu"),
        ({"dtype": "mixed_bfloat16"}, "float32, not bfloat16"),
    ],
)
def test_what_the_kernel_does_not_have(options, reason):
    layer = make(**options)
    (info,) = kv.backend_info(layer)
    assert info.path == "hand-written"
    assert reason in info.reason
    loss, weights = loss_of(layer)
    assert calls(jax.grad(loss), weights, X) == set()


def test_several_devices_take_the_other_path():
    code = """
import jax, numpy as np, keras_vrnn as kv
layer = kv.VanillaRNN(2, name="rnn")
x = jax.device_put(np.ones((4, 3, 2), "float32"), jax.NamedSharding(jax.make_mesh((2,), ("d",)), jax.P("d")))
text = jax.jit(layer).lower(x).as_text()
print(kv.backend_info(layer)[0], "custom_call @keras_vrnn" in text)
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **flags}, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "rnn: hand-written (JAX has 2 devices (cpu), not one CPU) False", (
        done.stderr
    )

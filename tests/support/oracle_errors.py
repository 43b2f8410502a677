"""How far the layer is from the float64 oracle of `reference`, for a configuration."""

import keras
import numpy as np
import pytest
import reference
from differentiate import layer_gradients
from keras import ops

import keras_vrnn as kv
from keras_vrnn.layers import recurrence

# Keras' tanh on JAX and matmul on PyTorch return float32 for float64.
DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
NEEDS_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses tf.GradientTape")


def layer_of(problem, dtype, **options):
    layer_class = kv.VanillaRNN if problem.alpha is None else kv.FastRNN
    layer = layer_class(
        problem.recurrent_kernel.shape[0],
        activation=problem.activation,
        use_bias=problem.bias is not None,
        go_backwards=problem.go_backwards,
        dropout=0.0 if problem.dropout_mask is None else 0.5,
        recurrent_dropout=0.0 if problem.recurrent_dropout_mask is None else 0.5,
        dtype=dtype,
        **options,
    )
    layer.build(problem.x.shape)
    weights = (problem.kernel, problem.recurrent_kernel, problem.bias, problem.alpha, problem.beta)
    layer.set_weights([w for w in weights if w is not None])
    if problem.dropout_mask is not None:
        layer.cell.get_dropout_mask = lambda _: ops.convert_to_tensor(problem.dropout_mask, dtype)
    if problem.recurrent_dropout_mask is not None:
        layer.cell.get_recurrent_dropout_mask = lambda _: ops.convert_to_tensor(
            problem.recurrent_dropout_mask, dtype
        )
    return layer


def configured(rng, configuration):
    """The random problem of a configuration, and the options of its layer."""
    c = dict(configuration)
    batch, features, units = c["batch"], c["features"], c["units"]
    if c.pop("dropout"):
        c["dropout_mask"] = rng.integers(0, 2, (batch, features)) * 2.0
    if c.pop("recurrent_dropout"):
        c["recurrent_dropout_mask"] = rng.integers(0, 2, (batch, units)) * 2.0
    names = ("return_sequences", "return_state", "zero_output_for_mask", "unroll")
    options = {name: c.pop(name) for name in names}
    c.pop("seed")
    return reference.random_problem(rng, **c), options


def errors_against_oracle(configuration, dtype=DTYPE):
    """Relative error of output, state and every gradient of a random problem, by name."""
    rng = np.random.default_rng(configuration["seed"])
    problem, options = configured(rng, configuration)
    layer = layer_of(problem, dtype, **options)

    hidden = reference.forward(problem)
    last = hidden[:, -1]
    d_outputs = rng.normal(size=hidden.shape)
    d_output, d_state = rng.normal(size=last.shape), rng.normal(size=last.shape)
    if not options["return_state"]:
        d_state = np.zeros_like(d_state)
    expected = last
    if options["return_sequences"]:
        expected = hidden
        if options["zero_output_for_mask"]:
            counts = problem.counts[:, ::-1] if problem.go_backwards else problem.counts
            expected = np.where(counts[:, :, None], hidden, 0)
            d_outputs = np.where(counts[:, :, None], d_outputs, 0)
        gradients = reference.backward(problem, d_outputs, d_state)
    else:
        gradients = reference.backward(problem, None, d_output + d_state)
    weighting = d_outputs if options["return_sequences"] else d_output
    seen = []

    def loss(outputs):
        seen.append([ops.stop_gradient(o) for o in outputs])
        value = ops.sum(outputs[0] * ops.convert_to_tensor(weighting, dtype))
        if options["return_state"]:
            value = value + ops.sum(outputs[1] * ops.convert_to_tensor(d_state, dtype))
        return value

    of = layer_gradients(
        layer,
        loss,
        problem.x.astype(dtype),
        None if problem.initial_state is None else problem.initial_state.astype(dtype),
        problem.mask,
        training=True,
    )
    value, dx, dh0, weights = of
    expected_value = np.sum(expected * weighting) + np.sum(last * d_state)
    errors = {
        "loss": reference.relative_error(value, expected_value),
        "x": reference.relative_error(dx, gradients.x),
        "kernel": reference.relative_error(weights[0], gradients.kernel),
        "recurrent_kernel": reference.relative_error(weights[1], gradients.recurrent_kernel),
    }
    if problem.bias is not None:
        errors["bias"] = reference.relative_error(weights[2], gradients.bias)
    if problem.alpha is not None:
        errors["alpha"] = reference.relative_error(weights[-2], gradients.alpha)
        errors["beta"] = reference.relative_error(weights[-1], gradients.beta)
    if dh0 is not None:
        errors["initial_state"] = reference.relative_error(dh0, gradients.initial_state)
    if keras.backend.backend() == "jax":  # there the outputs seen are tracers
        loss(called(layer, problem, dtype))
    outputs = [np.asarray(ops.convert_to_numpy(o)) for o in seen[-1]]
    errors["output"] = reference.relative_error(outputs[0], expected)
    if options["return_state"]:
        errors["state"] = reference.relative_error(outputs[1], last)
    return errors


def called(layer, problem, dtype):
    """The outputs of a call in training, as a list."""
    state = None if problem.initial_state is None else problem.initial_state.astype(dtype)
    outputs = layer(problem.x.astype(dtype), initial_state=state, mask=problem.mask, training=True)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


BASE = {
    "batch": 3,
    "time": 5,
    "features": 4,
    "units": 6,
    "activation": "tanh",
    "use_bias": True,
    "mask": False,
    "initial_state": True,
    "go_backwards": False,
    "dropout": False,
    "recurrent_dropout": False,
    "return_sequences": True,
    "return_state": True,
    "zero_output_for_mask": False,
    "unroll": False,
    "seed": 0,
}
# A configuration of a FastRNN has "fast": True.
EVERYTHING = {**BASE, "mask": True, "go_backwards": True, "dropout": True, "recurrent_dropout": True}


def tolerance(configuration):
    """Two implementations in `DTYPE` that sum in different orders, over at most 12 steps."""
    if DTYPE == "float32":
        return 2e-4
    # TensorFlow keeps the slope 0.2 of leaky_relu, and erf of gelu, with about float32 accuracy, which steps
    # that grow amplify.
    return 1e-5 if configuration["activation"] in ("leaky_relu", "gelu") else 1e-10


def check_second_derivatives(monkeypatch, mode, return_sequences, **options):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    problem = reference.random_problem(rng, mask=True, go_backwards=True, **options)
    layer = layer_of(problem, "float64", return_sequences=return_sequences, unroll=False)
    x, h0 = tf.constant(problem.x), tf.constant(problem.initial_state)

    def penalty_gradients():
        with tf.GradientTape() as outer:
            outer.watch([x, h0])
            with tf.GradientTape() as inner:
                inner.watch([x, h0])
                loss = tf.reduce_sum(layer(x, initial_state=h0, mask=problem.mask) ** 3)
            sources = [x, h0, *[w.value for w in layer.trainable_weights]]
            penalty = tf.add_n([tf.reduce_sum(g**2) for g in inner.gradient(loss, sources)])
        return outer.gradient(penalty, sources)

    traced = tf.function(penalty_gradients, jit_compile=mode == "compiled")
    ours = penalty_gradients() if mode == "eager" else traced()
    monkeypatch.setattr(recurrence, "gradient_rule", lambda cell: "autodiff")
    layer.unroll = True
    plain = penalty_gradients()
    for a, b in zip(ours, plain, strict=True):
        # Sums of a few hundred float64 terms.
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)

"""The recurrence against the float64 oracle: forward, all gradients, masks, states, reversal, dropout."""

import keras
import numpy as np
import pytest
import reference
from differentiate import layer_gradients
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from keras import ops

import keras_vrnn as kv
from keras_vrnn.layers import recurrence

# Keras' tanh on JAX and matmul on PyTorch return float32 for float64.
DTYPE = "float64" if keras.backend.backend() == "tensorflow" else "float32"
NEEDS_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses tf.GradientTape")


@st.composite
def configurations(draw):
    return {
        "batch": draw(st.integers(1, 5)),
        "time": draw(st.integers(1, 9)),
        "features": draw(st.integers(1, 7)),
        "units": draw(st.integers(1, 8)),
        "activation": draw(st.sampled_from(sorted(reference.ACTIVATIONS))),
        "use_bias": draw(st.booleans()),
        "mask": draw(st.booleans()),
        "initial_state": draw(st.booleans()),
        "go_backwards": draw(st.booleans()),
        "dropout": draw(st.booleans()),
        "recurrent_dropout": draw(st.booleans()),
        "return_sequences": draw(st.booleans()),
        "return_state": draw(st.booleans()),
        "zero_output_for_mask": draw(st.booleans()),
        "unroll": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def layer_of(problem, dtype, **options):
    layer = kv.VanillaRNN(
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
    layer.set_weights([w for w in (problem.kernel, problem.recurrent_kernel, problem.bias) if w is not None])
    if problem.dropout_mask is not None:
        layer.cell.get_dropout_mask = lambda _: ops.convert_to_tensor(problem.dropout_mask, dtype)
    if problem.recurrent_dropout_mask is not None:
        layer.cell.get_recurrent_dropout_mask = lambda _: ops.convert_to_tensor(
            problem.recurrent_dropout_mask, dtype
        )
    return layer


def errors_against_oracle(configuration, dtype=DTYPE):
    """Relative error of output, state and every gradient of a random problem: a dict of figures."""
    rng = np.random.default_rng(configuration["seed"])
    c = dict(configuration)
    batch, features, units = c["batch"], c["features"], c["units"]
    if c.pop("dropout"):
        c["dropout_mask"] = rng.integers(0, 2, (batch, features)) * 2.0
    if c.pop("recurrent_dropout"):
        c["recurrent_dropout_mask"] = rng.integers(0, 2, (batch, units)) * 2.0
    names = ("return_sequences", "return_state", "zero_output_for_mask", "unroll")
    options = {name: c.pop(name) for name in names}
    c.pop("seed")
    problem = reference.random_problem(rng, **c)
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
    if dh0 is not None:
        errors["initial_state"] = reference.relative_error(dh0, gradients.initial_state)
    if keras.backend.backend() != "jax":  # there the outputs seen are tracers
        outputs = [np.asarray(ops.convert_to_numpy(o)) for o in seen[0]]
        errors["output"] = reference.relative_error(outputs[0], expected)
        if options["return_state"]:
            errors["state"] = reference.relative_error(outputs[1], last)
    return errors


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
EVERYTHING = {**BASE, "mask": True, "go_backwards": True, "dropout": True, "recurrent_dropout": True}


def tolerance(configuration):
    """Two implementations in `DTYPE` that sum in different orders, over at most 12 steps."""
    if DTYPE == "float32":
        return 2e-4
    # TensorFlow keeps the slope 0.2 of leaky_relu, and erf of gelu, with about float32 accuracy, which steps
    # that grow amplify.
    return 1e-5 if configuration["activation"] in ("leaky_relu", "gelu") else 1e-10


# derandomize: the same examples on every machine; the slow test below draws others.
@settings(
    max_examples=60 if DTYPE == "float64" else 15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@example(BASE)
@example(EVERYTHING)
@example({**EVERYTHING, "return_sequences": False, "return_state": False})
@example({**EVERYTHING, "unroll": True, "zero_output_for_mask": True})
@example({**BASE, "activation": "leaky_relu"})
@example({**BASE, "activation": "selu"})
@example({**BASE, "time": 1, "batch": 1, "features": 1, "units": 1})
@given(configurations())
def test_equals_oracle(configuration):
    errors = errors_against_oracle(configuration)
    assert max(errors.values()) < tolerance(configuration), errors


@pytest.mark.slow
def test_a_thousand_random_configurations_equal_oracle():
    rng = np.random.default_rng(2026)
    flags = [name for name, value in BASE.items() if isinstance(value, bool)]
    wrong = []
    for seed in range(1000):
        sizes = {n: int(rng.integers(1, 13)) for n in ("batch", "time", "features", "units")}
        chosen = {name: bool(rng.integers(2)) for name in flags}
        activation = str(rng.choice(sorted(reference.ACTIVATIONS)))
        configuration = {**sizes, **chosen, "activation": activation, "seed": seed}
        errors = errors_against_oracle(configuration)
        if not max(errors.values()) < tolerance(configuration):
            wrong.append((configuration, errors))
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
def test_every_activation_equals_oracle_in_float32(activation):
    errors = errors_against_oracle({**EVERYTHING, "activation": activation}, "float32")
    # float32 rounding (6e-8) of sums of at most 20 terms, carried over 5 steps each way.
    assert max(errors.values()) < 1e-5, errors


def test_the_suite_notices_a_transposed_recurrent_kernel(monkeypatch):
    original = recurrence._hand_written if keras.backend.backend() != "torch" else recurrence._forward

    def mutant(*options):
        run = original(*options)
        return lambda z, h, recurrent_kernel, *bias: run(z, h, ops.transpose(recurrent_kernel), *bias)

    monkeypatch.setattr(recurrence, original.__name__, mutant)
    assert min(errors_against_oracle(BASE).values()) > 1e-3


def test_gradient_rule_is_chosen_by_activation_and_cell():
    class Doubling(kv.VanillaRNNCell):
        def call(self, sequence, states, training=False):
            output, states = super().call(sequence, states, training)
            return output, states

    hand_written = "hand-written" if keras.backend.backend() in ("tensorflow", "jax") else "autodiff"
    assert recurrence.gradient_rule(kv.VanillaRNNCell(2)) == hand_written
    assert recurrence.gradient_rule(kv.VanillaRNNCell(2, activation=None)) == hand_written
    assert recurrence.gradient_rule(kv.VanillaRNNCell(2, activation="softmax")) == "autodiff"
    assert recurrence.gradient_rule(kv.VanillaRNNCell(2, activation=lambda z: ops.tanh(2 * z))) == "autodiff"
    assert recurrence.gradient_rule(Doubling(2)) == "cell"


@pytest.mark.parametrize("rule", ["autodiff", "cell"])
@pytest.mark.parametrize("configuration", [BASE, EVERYTHING, {**EVERYTHING, "unroll": True}])
def test_other_rules_equal_the_oracle_too(monkeypatch, rule, configuration):
    monkeypatch.setattr(recurrence, "gradient_rule", lambda cell: rule)
    errors = errors_against_oracle(configuration)
    assert max(errors.values()) < tolerance(configuration), errors


def test_not_elementwise_activation_equals_its_definition():
    rng = np.random.default_rng(0)
    problem = reference.random_problem(rng, initial_state=False)
    layer = kv.VanillaRNN(6, activation="softmax")
    layer.build(problem.x.shape)
    layer.set_weights([problem.kernel, problem.recurrent_kernel, problem.bias])
    h = problem.h0
    for t in range(problem.time):
        z = problem.x[:, t] @ problem.kernel + h @ problem.recurrent_kernel + problem.bias
        h = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    output = ops.convert_to_numpy(layer(problem.x.astype("float32")))
    np.testing.assert_allclose(output, h, atol=1e-6)  # float32, values below 1


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_second_derivatives_equal_those_of_plain_autodiff(monkeypatch, mode, return_sequences):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    problem = reference.random_problem(rng, mask=True, go_backwards=True)
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


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("return_sequences", [False, True])
def test_eager_graph_and_compiled_agree_with_dynamic_shapes(return_sequences):
    import tensorflow as tf

    rng = np.random.default_rng(2)
    layer = kv.VanillaRNN(6, return_sequences=return_sequences, go_backwards=True)
    layer.build((None, None, 4))

    def gradients(x, mask):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, mask=mask) ** 2)
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    signature = [tf.TensorSpec((None, None, 4)), tf.TensorSpec((None, None), tf.bool)]
    graph = tf.function(gradients, input_signature=signature)
    compiled = tf.function(gradients, jit_compile=True)
    for batch, time in ((3, 5), (2, 8)):
        x = tf.constant(rng.normal(size=(batch, time, 4)), tf.float32)
        mask = tf.constant(rng.random((batch, time)) < 0.7)
        for eager, a, b in zip(gradients(x, mask), graph(x, mask), compiled(x, mask), strict=True):
            # The same float32 sums in other orders.
            np.testing.assert_allclose(a, eager, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(b, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_two_thousand_steps(return_sequences):
    errors = errors_against_oracle(
        {**BASE, "time": 2000, "return_sequences": return_sequences, "use_bias": True}
    )
    # Rounding (1e-16 or 6e-8) of sums over 6,000 terms, carried through 2,000 steps of a contraction.
    assert max(errors.values()) < (1e-9 if DTYPE == "float64" else 1e-3), errors


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64", "float16"])
def test_dtype_policies(policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only with JAX_ENABLE_X64")
    rng = np.random.default_rng(3)
    problem = reference.random_problem(rng, mask=True)
    # JAX has no float16 QR, which the default orthogonal initializer needs.
    options = {"recurrent_initializer": "zeros", "return_sequences": True, "return_state": True}
    layer = layer_of(problem, policy, **options)
    outputs, state = layer(
        problem.x.astype("float32"), mask=problem.mask, initial_state=problem.initial_state
    )
    compute = keras.dtype_policies.get(policy).compute_dtype
    assert keras.backend.standardize_dtype(outputs.dtype) == compute
    assert keras.backend.standardize_dtype(state.dtype) == compute
    # Machine epsilon of the compute dtype: 1e-3, 8e-3, float32 input, 1e-3; times ten operations.
    rounding = {"mixed_float16": 1e-2, "mixed_bfloat16": 8e-2, "float64": 1e-6, "float16": 1e-2}[policy]
    actual = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    assert reference.relative_error(actual, reference.forward(problem)) < rounding

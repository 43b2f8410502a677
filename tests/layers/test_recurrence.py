"""The recurrence against the float64 oracle: forward, all gradients, masks, states, reversal, dropout."""

import keras
import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from keras import ops
from oracle_errors import (
    BASE,
    DTYPE,
    EVERYTHING,
    NEEDS_TENSORFLOW,
    check_second_derivatives,
    errors_against_oracle,
    layer_of,
    tolerance,
)

import keras_vrnn as kv
from keras_vrnn.layers import recurrence

pytestmark = pytest.mark.usefixtures("native_off")


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
    if keras.backend.backend() == "torch":
        original = recurrence.forward_loop

        def mutant(*options):
            run = original(*options)
            return lambda z, h, recurrent_kernel, *rest: run(z, h, ops.transpose(recurrent_kernel), *rest)

        monkeypatch.setattr(recurrence, "forward_loop", mutant)
    else:
        original = recurrence.over_time

        def mutant(block, x, mask, state, recurrent_kernel, *rest):
            return original(block, x, mask, state, ops.transpose(recurrent_kernel), *rest)

        monkeypatch.setattr(recurrence, "over_time", mutant)
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
    check_second_derivatives(monkeypatch, mode, return_sequences)


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

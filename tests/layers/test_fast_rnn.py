"""FastRNN: outputs and all gradients against the float64 oracle, and all that the vanilla layer can do."""

import inspect

import keras
import numpy as np
import pytest
import reference
from backend_arrays import assert_allclose, assert_array_equal
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
from keras_vrnn.layers import blocks, recurrence

# Keras 3.15 converts TensorFlow variables in a way that NumPy 2 deprecates.
KERAS_SAVES = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
RNG = np.random.default_rng(8)
FAST, FAST_EVERYTHING = {**BASE, "fast": True}, {**EVERYTHING, "fast": True}


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


# Against the oracle


def wrong_ones(count, seed):
    rng = np.random.default_rng(seed)
    flags = [name for name, value in BASE.items() if isinstance(value, bool)]
    wrong = []
    for number in range(count):
        sizes = {n: int(rng.integers(1, 13)) for n in ("batch", "time", "features", "units")}
        chosen = {name: bool(rng.integers(2)) for name in flags}
        activation = str(rng.choice(sorted(reference.ACTIVATIONS)))
        configuration = {**sizes, **chosen, "activation": activation, "seed": number, "fast": True}
        errors = errors_against_oracle(configuration)
        if not max(errors.values()) < tolerance(configuration):
            wrong.append((configuration, errors))
    return wrong


def test_fifty_random_configurations_equal_oracle():
    wrong = wrong_ones(50 if DTYPE == "float64" else 15, seed=50)
    assert not wrong, wrong[:3]


@pytest.mark.slow
def test_a_thousand_random_configurations_equal_oracle():
    wrong = wrong_ones(1000, seed=2026)
    assert not wrong, wrong[:3]


@pytest.mark.parametrize("activation", sorted(reference.ACTIVATIONS))
def test_every_activation_equals_oracle_in_float32(activation):
    errors = errors_against_oracle({**FAST_EVERYTHING, "activation": activation}, "float32")
    # float32 rounding (6e-8) of sums of at most 20 terms, and of 90 for the scalars, over 5 steps each way.
    assert max(errors.values()) < 2e-5, errors


def test_the_oracle_notices_a_missing_derivative_of_a_scalar(monkeypatch):
    monkeypatch.setattr(
        kv.FastRNNCell, "rates", lambda cell: (ops.sigmoid(cell.beta), ops.sigmoid(cell.alpha))
    )
    errors = errors_against_oracle(FAST)
    assert min(errors["alpha"], errors["beta"], errors["loss"]) > 1e-3


@pytest.mark.parametrize("rule", ["autodiff", "cell"])
@pytest.mark.parametrize("configuration", [FAST, FAST_EVERYTHING, {**FAST_EVERYTHING, "unroll": True}])
def test_other_gradient_rules_equal_the_oracle_too(monkeypatch, rule, configuration):
    monkeypatch.setattr(recurrence, "gradient_rule", lambda cell: rule)
    errors = errors_against_oracle(configuration)
    assert max(errors.values()) < tolerance(configuration), errors


def test_gradient_rule_is_chosen_by_activation_and_cell():
    class Doubling(kv.FastRNNCell):
        def call(self, sequence, states, training=False):
            return super().call(2 * sequence, states, training)

    hand_written = "hand-written" if keras.backend.backend() in ("tensorflow", "jax") else "autodiff"
    assert recurrence.gradient_rule(kv.FastRNNCell(2)) == hand_written
    assert recurrence.gradient_rule(kv.FastRNNCell(2, activation="softmax")) == "autodiff"
    assert recurrence.gradient_rule(Doubling(2)) == "cell"


# Two and three blocks, a rest, and a block and a rest.
@pytest.mark.parametrize("time", [6, 9, 7, 4])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("configuration", [FAST, FAST_EVERYTHING])
def test_blocks_of_steps_equal_the_oracle(monkeypatch, configuration, go_backwards, return_sequences, time):
    monkeypatch.setattr(blocks, "block_size", lambda steps: min(3, steps))
    changed = {"time": time, "return_sequences": return_sequences, "go_backwards": go_backwards}
    errors = errors_against_oracle({**configuration, **changed})
    assert max(errors.values()) < tolerance(configuration), errors


@pytest.mark.parametrize("return_sequences", [False, True])
def test_two_thousand_steps(return_sequences):
    errors = errors_against_oracle({**FAST, "time": 2000, "return_sequences": return_sequences})
    # Rounding (1e-16 or 6e-8) of sums over 6,000 terms, carried through 2,000 steps of a contraction.
    assert max(errors.values()) < (1e-9 if DTYPE == "float64" else 1e-3), errors


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("size", [None, 2])  # steps in a block, of 5 steps
def test_second_derivatives_equal_those_of_plain_autodiff(monkeypatch, mode, return_sequences, size):
    if size:
        monkeypatch.setattr(blocks, "block_size", lambda steps: size)
    check_second_derivatives(monkeypatch, mode, return_sequences, fast=True)


def test_not_elementwise_activation_equals_its_definition():
    problem = reference.random_problem(np.random.default_rng(0), initial_state=False, fast=True)
    problem.activation = "softmax"
    layer = layer_of(problem, "float32")
    alpha, beta = (1 / (1 + np.exp(-value)) for value in (problem.alpha, problem.beta))
    h = problem.h0
    for t in range(problem.time):
        z = problem.x[:, t] @ problem.kernel + h @ problem.recurrent_kernel + problem.bias
        h = alpha * np.exp(z) / np.exp(z).sum(-1, keepdims=True) + beta * h
    assert_allclose(layer(problem.x.astype("float32")), h, atol=1e-6)  # float32, values below 10


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64", "float16"])
def test_dtype_policies(policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only with JAX_ENABLE_X64")
    problem = reference.random_problem(np.random.default_rng(3), mask=True, fast=True)
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


# As a layer


def test_alpha_of_one_and_beta_of_zero_is_a_vanilla_rnn():
    ours, vanilla = kv.FastRNN(6, return_sequences=True), kv.VanillaRNN(6, return_sequences=True)
    x = array(2, 5, 4)
    vanilla.build(x.shape)
    ours.build(x.shape)
    ours.set_weights(
        [*vanilla.get_weights(), np.float32(100), np.float32(-100)]
    )  # the sigmoids round to 1 and 0
    assert_allclose(ours(x), vanilla(x), atol=1e-6)  # float32; another operation may be fused


def test_every_argument_survives_config_and_clone():
    arguments = {
        "units": 5,
        "activation": "relu",
        "use_bias": False,
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "identity",
        "bias_initializer": "ones",
        "kernel_regularizer": "l2",
        "recurrent_regularizer": "l1",
        "bias_regularizer": "l2",
        "activity_regularizer": "l1",
        "kernel_constraint": "unit_norm",
        "recurrent_constraint": "max_norm",
        "bias_constraint": "non_neg",
        "dropout": 0.25,
        "recurrent_dropout": 0.5,
        "return_sequences": True,
        "return_state": True,
        "go_backwards": True,
        "stateful": True,
        "unroll": True,
        "seed": 7,
        "zero_output_for_mask": True,
        "alpha_initializer": "zeros",
        "beta_initializer": "ones",
    }
    assert set(arguments) == set(inspect.signature(kv.FastRNN).parameters) - {"kwargs"}
    layer = kv.FastRNN(**arguments)
    clone = kv.FastRNN.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    default = kv.FastRNN(5).get_config()
    assert [key for key in arguments if layer.get_config()[key] == default[key]] == ["units"]


@pytest.mark.parametrize("go_backwards", [False, True])
def test_padding_changes_nothing(go_backwards):
    layer, x = kv.FastRNN(5, go_backwards=go_backwards), array(2, 6, 3)
    padded = np.concatenate([x, array(2, 4, 3)], axis=1)
    mask = np.arange(10) < 6
    # The same float32 sums; a longer loop may be compiled to another order.
    assert_allclose(layer(padded, mask=np.stack([mask, mask])), layer(x), atol=1e-6)


def test_stateful_chunks_equal_the_whole_sequence():
    whole, x = kv.FastRNN(4, return_sequences=True), array(2, 6, 3)
    expected = whole(x)
    chunked = kv.FastRNN(4, return_sequences=True, stateful=True)
    chunked.build((2, 3, 3))
    chunked.set_weights(whole.get_weights())
    for start in (0, 3):
        assert_allclose(
            chunked(x[:, start : start + 3]), expected[:, start : start + 3], atol=1e-6
        )  # float32
    chunked.reset_state()
    assert_allclose(chunked(x[:, :3]), expected[:, :3], atol=1e-6)


def test_bidirectional_equals_two_layers():
    both, x = kv.Bidirectional(kv.FastRNN(4, return_sequences=True)), array(2, 5, 3)
    output = both(x)
    forward, backward = kv.FastRNN(4, return_sequences=True), kv.FastRNN(4, return_sequences=True)
    for one, other in ((forward, both.forward_layer), (backward, both.backward_layer)):
        one.build(x.shape)
        one.set_weights(other.get_weights())
    expected = ops.concatenate([forward(x), ops.flip(backward(x[:, ::-1]), axis=1)], axis=-1)
    assert_allclose(output, expected, atol=1e-6)  # float32


@pytest.mark.parametrize("stacked", [False, True])
def test_cells_in_keras_loop_equal_layers(stacked):
    cells, x = [kv.FastRNNCell(4), kv.FastRNNCell(5, "relu")], array(2, 6, 3)
    loop = keras.layers.RNN(keras.layers.StackedRNNCells(cells) if stacked else cells, return_sequences=True)
    expected = loop(x)
    layers = [kv.FastRNN(4, return_sequences=True), kv.FastRNN(5, "relu", return_sequences=True)]
    output = x
    for layer, cell in zip(layers, cells, strict=True):
        layer.build(output.shape)
        layer.set_weights(cell.get_weights())
        output = layer(output)
    # The same float32 sums in another order.
    assert_allclose(output, expected, atol=1e-5)


@KERAS_SAVES
def test_keras_file_loads_without_custom_objects(tmp_path):
    inputs = keras.Input((None, 4))
    hidden = kv.Bidirectional(kv.FastRNN(5, return_sequences=True, dropout=0.1, seed=1))(inputs)
    hidden = keras.layers.RNN([kv.FastRNNCell(3), kv.VanillaRNNCell(2)], return_sequences=True)(hidden)
    model = kv.Model(inputs, kv.FastRNN(3, "relu")(hidden))
    model.set_weights([RNG.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    x = array(2, 7, 4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is kv.FastRNN
    assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
    model.save_weights(tmp_path / "model.weights.h5")
    loaded.set_weights([0 * w for w in loaded.get_weights()])
    loaded.load_weights(tmp_path / "model.weights.h5")
    assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("return_sequences", [False, True])
def test_eager_graph_and_compiled_agree_with_dynamic_shapes(return_sequences):
    import tensorflow as tf

    layer = kv.FastRNN(6, return_sequences=return_sequences, go_backwards=True)
    layer.build((None, None, 4))

    def gradients(x, mask):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, mask=mask) ** 2)
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    signature = [tf.TensorSpec((None, None, 4)), tf.TensorSpec((None, None), tf.bool)]
    graph = tf.function(gradients, input_signature=signature)
    compiled = tf.function(gradients, jit_compile=True)
    for batch, time in ((3, 5), (2, 8)):
        x, mask = tf.constant(array(batch, time, 4)), tf.constant(RNG.random((batch, time)) < 0.7)
        for eager, a, b in zip(gradients(x, mask), graph(x, mask), compiled(x, mask), strict=True):
            # The same float32 sums in other orders.
            np.testing.assert_allclose(a, eager, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(b, eager, rtol=1e-4, atol=1e-5)

"""Masks, initial states and stateful layers, the faults of Keras 3.15 among them."""

import keras
import numpy as np
import pytest
import reference
from backend_arrays import assert_allclose, assert_array_equal
from keras import ops
from problem_layers import call, layer_with_weights

import keras_vrnn as kv

# Keras 3.15 converts TensorFlow variables in a way that NumPy 2 deprecates.
KERAS_SAVES = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)
RNG = np.random.default_rng(8)


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


# Masks


@pytest.mark.parametrize("go_backwards", [False, True])
def test_padding_changes_nothing(go_backwards):
    layer = kv.VanillaRNN(5, go_backwards=go_backwards)
    x = array(2, 6, 3)
    padded = np.concatenate([x, array(2, 4, 3)], axis=1)
    mask = np.arange(10) < 6
    # The same float32 sums; a longer loop may be compiled to another order.
    assert_allclose(layer(padded, mask=np.stack([mask, mask])), layer(x), atol=1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_zero_output_for_mask_spares_the_final_output(unroll):
    problem = reference.random_problem(np.random.default_rng(0))
    problem.mask = problem.counts = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0]], bool)
    layer = layer_with_weights(problem, zero_output_for_mask=True, unroll=unroll)
    expected = reference.forward(problem)
    # float32 rounding of sums of 10 terms over 5 steps.
    assert_allclose(call(layer, problem), expected[:, -1], atol=1e-5)
    layer = layer_with_weights(
        problem, zero_output_for_mask=True, return_sequences=True, return_state=True, unroll=unroll
    )
    outputs, state = call(layer, problem)
    assert_allclose(outputs, np.where(problem.mask[:, :, None], expected, 0), atol=1e-5)
    assert_allclose(state, expected[:, -1], atol=1e-5)


@pytest.mark.parametrize("go_backwards", [False, True])
def test_mask_goes_on_in_the_order_of_the_outputs(go_backwards):
    x = array(2, 4, 3)
    x[0, 2:] = 0
    masked = keras.layers.Masking()(x)
    layer = kv.VanillaRNN(5, return_sequences=True, return_state=True, go_backwards=go_backwards)
    outputs, state = layer(masked)
    expected = np.array([[1, 1, 0, 0], [1, 1, 1, 1]], bool)
    assert_array_equal(outputs._keras_mask, expected[:, ::-1] if go_backwards else expected)
    assert getattr(state, "_keras_mask", None) is None
    assert getattr(kv.VanillaRNN(5)(masked), "_keras_mask", None) is None


def test_reversed_layers_with_masks_stack():
    """Two reversals with the mask: the second layer sees the padding first, then the sequence from its start."""
    x = array(1, 6, 3)
    first, second = kv.VanillaRNN(4, return_sequences=True, go_backwards=True), kv.VanillaRNN(2)
    short = second(first(x[:, :4]))
    padded = x.copy()
    padded[:, 4:] = 0
    # As in test_padding_changes_nothing.
    assert_allclose(second(first(keras.layers.Masking()(padded))), short, atol=1e-6)


def test_leading_masked_steps_keep_the_initial_state():
    layer = kv.VanillaRNN(4, return_sequences=True)
    h0 = array(2, 4)
    outputs = layer(array(2, 3, 3), initial_state=h0, mask=np.array([[0, 1, 1], [0, 0, 1]], bool))
    assert_array_equal(outputs[:, 0], h0)
    assert_array_equal(outputs[1, 1], h0[1])


def test_mask_may_be_numbers_or_have_a_trailing_axis():
    layer, x = kv.VanillaRNN(4), array(2, 3, 3)
    mask = np.array([[1, 0, 1], [1, 1, 0]])
    expected = layer(x, mask=mask.astype(bool))
    assert_array_equal(layer(x, mask=mask.astype("float32")), expected)
    assert_array_equal(layer(x, mask=mask[:, :, None].astype(bool)), expected)


@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 4), (2, 3, 3)])
def test_wrong_mask_is_named(shape):
    with pytest.raises(
        ValueError, match=r"`mask` must have shape \(batch, time\) = \(2, 3\).*Received: shape"
    ):
        kv.VanillaRNN(4)(array(2, 3, 5), mask=np.ones(shape, bool))


# Initial states


def test_initial_state_bare_or_in_a_list():
    layer, x, h0 = kv.VanillaRNN(4), array(2, 3, 3), array(2, 4)
    expected = layer(x, initial_state=h0)
    assert_array_equal(layer(x, initial_state=[h0]), expected)
    assert_array_equal(layer(x, initial_state=(ops.convert_to_tensor(h0),)), expected)
    assert_array_equal(layer(x, initial_state=h0.astype("float64")), expected)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([array(2, 4)] * 2, r"`initial_state` must be one tensor.*Received: a list of 2"),
        ([], r"`initial_state` must be one tensor.*Received: a list of 0"),
        (
            array(2, 5),
            r"`initial_state` must have shape \(batch, units\) = \(2, 4\). Received: shape \(2, 5\)",
        ),
        (array(4), r"`initial_state` must have shape \(batch, units\) = \(2, 4\). Received: shape \(4\)"),
        (array(3, 4), r"must have the batch size of `sequences`, 2. Received: shape \(3, 4\), batch size 3"),
        (array(1, 4), r"must have the batch size of `sequences`, 2. Received: shape \(1, 4\), batch size 1"),
    ],
)
def test_wrong_initial_state_is_named(states, message):
    with pytest.raises(ValueError, match=message):
        kv.VanillaRNN(4)(array(2, 3, 3), initial_state=states)


def test_initial_state_in_a_functional_model():
    inputs, state = keras.Input((None, 3)), keras.Input((4,))
    model = keras.Model([inputs, state], kv.VanillaRNN(4, return_state=True)(inputs, initial_state=state))
    x, h0 = array(2, 5, 3), array(2, 4)
    layer = model.layers[-1]
    assert_allclose(model([x, h0])[1], layer(x, initial_state=h0)[1], atol=1e-6)  # float32


# Stateful layers


@pytest.mark.parametrize("mask", [False, True])
def test_chunks_equal_the_whole_sequence(mask):
    whole = kv.VanillaRNN(4, return_sequences=True)
    x = array(2, 9, 3)
    mask = np.random.default_rng(1).random((2, 9)) < 0.6 if mask else np.ones((2, 9), bool)
    expected = whole(x, mask=mask)
    chunked = kv.VanillaRNN(4, return_sequences=True, stateful=True)
    chunked.build((2, 3, 3))
    chunked.set_weights(whole.get_weights())
    for _ in range(2):
        chunks = [chunked(x[:, t : t + 3], mask=mask[:, t : t + 3]) for t in (0, 3, 6)]
        # The same float32 sums; another length may be compiled to another order.
        assert_allclose(ops.concatenate(chunks, axis=1), expected, atol=1e-6)
        chunked.reset_state()


def test_reset_state_takes_states():
    layer, x, h0 = kv.VanillaRNN(4, stateful=True), array(2, 3, 3), array(2, 4)
    layer(x)
    for given in (h0, [h0], ops.convert_to_tensor(h0)):
        layer.reset_state(given)
        assert_array_equal(layer.states[0], h0)
    output = layer(x)
    layer.reset_states(states=h0)
    assert_array_equal(layer(x), output)
    assert_array_equal(kv.VanillaRNN(4, stateful=True).reset_state() or 0, 0)  # not built: nothing to reset


def test_wrong_reset_is_named():
    layer = kv.VanillaRNN(4, stateful=True)
    layer(array(2, 3, 3))
    with pytest.raises(
        ValueError, match=r"`states` must have shape \(batch, units\) = \(2, 4\). Received: .*\(2, 5\)"
    ):
        layer.reset_state(array(2, 5))
    with pytest.raises(
        ValueError, match=r"`states` must have the batch size of `sequences`, 2.*batch size 3"
    ):
        layer.reset_state(array(3, 4))
    with pytest.raises(ValueError, match=r"`states` must be one tensor.*Received: a list of 2"):
        layer.reset_state([array(2, 4)] * 2)
    with pytest.raises(ValueError, match=r"needs a built layer with `stateful=True`.*stateful=False"):
        kv.VanillaRNN(4).reset_state(array(2, 4))


def test_stateful_batch_size_is_fixed():
    layer = kv.VanillaRNN(4, stateful=True)
    layer(array(2, 3, 3))
    with pytest.raises(
        ValueError,
        match=r"`sequences` must keep the batch size 2 with `stateful=True`. Received: shape \(3, 3, 3\)",
    ):
        layer(array(3, 3, 3))
    with pytest.raises(
        ValueError,
        match=r"`sequences` must have a fixed batch size with `stateful=True`.*keras.Input\(batch_shape=",
    ):
        kv.VanillaRNN(4, stateful=True)(keras.Input((None, 3)))


@KERAS_SAVES
def test_state_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 3)), kv.VanillaRNN(4, stateful=True)])
    x = array(2, 3, 3)
    model(x)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    weights_only = keras.Sequential([keras.Input(batch_shape=(2, 3, 3)), kv.VanillaRNN(4, stateful=True)])
    weights_only.load_weights(tmp_path / "model.weights.h5")
    other_batch = keras.Sequential([keras.Input(batch_shape=(1, 3, 3)), kv.VanillaRNN(4, stateful=True)])
    other_batch.load_weights(tmp_path / "model.weights.h5")
    expected = model(x)
    assert_array_equal(loaded(x), expected)
    assert_array_equal(weights_only(x), expected)
    model.layers[0].reset_state()
    assert_allclose(other_batch(x[:1]), model(x)[:1], atol=1e-6)  # float32; another batch size


def test_state_is_no_weight():
    layer = kv.VanillaRNN(4, stateful=True)
    layer(array(2, 3, 3))
    assert [w.name for w in layer.weights] == ["kernel", "recurrent_kernel", "bias"]
    assert any(v is layer.states[0] for v in layer.variables)


@pytest.mark.parametrize("steps_per_call", [1, 2])
def test_state_is_carried_through_fit(steps_per_call):
    if steps_per_call > 1 and keras.backend.backend() == "torch":
        pytest.skip("Keras' PyTorch trainer takes one step a call")
    model = keras.Sequential([keras.Input(batch_shape=(2, 3, 3)), kv.VanillaRNN(4, stateful=True)])
    model.compile("sgd", "mse", steps_per_execution=steps_per_call)
    model.optimizer.learning_rate = 0.0
    x = array(4, 3, 3)
    model.fit(x, array(4, 4), batch_size=2, epochs=2, shuffle=False, verbose=0)
    fresh = kv.VanillaRNN(4)
    fresh.build((2, 3, 3))
    fresh.set_weights(model.get_weights())
    state = np.zeros((2, 4), "float32")
    for chunk in (x[:2], x[2:]) * 2:
        state = fresh(chunk, initial_state=state)
    assert_allclose(model.layers[0].states[0], state, atol=1e-5)  # float32 over 12 steps


# Dropout


def test_dropout_is_seeded_and_constant_over_time():
    def outputs():
        layer = kv.VanillaRNN(
            6,
            activation=None,
            kernel_initializer="identity",
            recurrent_initializer="zeros",
            dropout=0.5,
            seed=4,
            return_sequences=True,
        )
        return ops.convert_to_numpy(layer(np.ones((3, 5, 6), "float32"), training=True))

    first = outputs()
    assert set(np.unique(first)) == {0.0, 2.0}
    assert_array_equal(first, np.repeat(first[:, :1], 5, axis=1))
    assert_array_equal(first, outputs())


def test_dropout_draws_anew_each_call_and_only_in_training():
    layer, x = kv.VanillaRNN(16, dropout=0.5, recurrent_dropout=0.5, seed=1), array(4, 5, 8)
    first, second = (ops.convert_to_numpy(layer(x, training=True)) for _ in range(2))
    assert np.any(first != second)
    clean = kv.VanillaRNN(16)
    clean.build(x.shape)
    clean.set_weights(layer.get_weights())
    assert_array_equal(layer(x), clean(x))


def test_regularizers_and_constraints_reach_the_weights():
    options = {
        "kernel_regularizer": keras.regularizers.L2(0.1),
        "recurrent_regularizer": keras.regularizers.L1(0.2),
        "bias_regularizer": keras.regularizers.L2(0.3),
        "activity_regularizer": keras.regularizers.L2(0.4),
        "kernel_constraint": "non_neg",
        "bias_initializer": "ones",
    }
    layer, dense = (
        kv.VanillaRNN(4, **options),
        keras.layers.Dense(1, activity_regularizer=keras.regularizers.L2(1.0)),
    )
    x = array(2, 3, 3)
    output = ops.convert_to_numpy(layer(x))
    kernel, recurrent_kernel, bias = layer.get_weights()
    penalties = [0.1 * np.sum(kernel**2), 0.2 * np.sum(abs(recurrent_kernel)), 0.3 * np.sum(bias**2)]
    activity = np.sum(ops.convert_to_numpy(dense(np.ones((2, 3), "float32"))) ** 2)
    divisor = activity / float(ops.convert_to_numpy(dense.losses[0]))  # the batch size; 1 in Keras 3.12
    penalties.append(0.4 * np.sum(output**2) / divisor)
    assert float(ops.convert_to_numpy(sum(layer.losses))) == pytest.approx(
        sum(penalties), rel=1e-5
    )  # float32
    assert layer.cell.kernel.constraint is not None

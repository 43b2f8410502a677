"""kv.Bidirectional: keras.layers.Bidirectional without its faults."""

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose, assert_array_equal
from keras import ops

import keras_vrnn as kv

RNG = np.random.default_rng(9)


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


def copied(source, target, x):
    """`target`, built for x, with the weights of `source`."""
    target.build(x.shape)
    target.set_weights(source.get_weights())
    return target


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("return_state", [False, True])
def test_equals_two_layers(merge_mode, return_sequences, return_state):
    x, states = array(2, 5, 3), [array(2, 4), array(2, 4)]
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    options = {"return_sequences": return_sequences, "return_state": True, "zero_output_for_mask": True}
    forward, backward = kv.VanillaRNN(4, **options), kv.VanillaRNN(4, go_backwards=True, **options)
    a, state_a = forward(x, initial_state=states[0], mask=mask)
    b, state_b = backward(x, initial_state=states[1], mask=mask)
    if return_sequences:
        b = ops.flip(b, axis=1)
    expected = {
        "concat": lambda: [ops.concatenate([a, b], axis=-1)],
        "sum": lambda: [a + b],
        "mul": lambda: [a * b],
        "ave": lambda: [(a + b) / 2],
        None: lambda: [a, b],
    }[merge_mode]()
    if return_state:
        expected += [state_a, state_b]
    layer = kv.Bidirectional(
        kv.VanillaRNN(4, return_sequences=return_sequences, return_state=return_state), merge_mode=merge_mode
    )
    layer.build(x.shape)
    layer.set_weights(forward.get_weights() + backward.get_weights())
    outputs = layer(x, initial_state=states, mask=mask)
    outputs = outputs if isinstance(outputs, tuple) else [outputs]
    assert len(outputs) == len(expected)
    for actual, wanted in zip(outputs, expected, strict=True):
        assert_allclose(actual, wanted, atol=1e-6)  # the same float32 sums
    assert layer.compute_output_shape(x.shape) is not None


def test_is_a_keras_bidirectional_with_its_weights():
    x = array(2, 5, 3)
    theirs = keras.layers.Bidirectional(keras.layers.SimpleRNN(4, return_sequences=True))
    expected = theirs(x)
    ours = copied(theirs, kv.Bidirectional(kv.VanillaRNN(4, return_sequences=True)), x)
    assert isinstance(ours, keras.layers.Bidirectional)
    assert_allclose(ours(x), expected, atol=1e-6)  # the same float32 sums in another order


def test_return_state_and_stateful_together():
    layer = kv.Bidirectional(kv.VanillaRNN(4, return_state=True, stateful=True, return_sequences=True))
    x = array(2, 5, 3)
    masked = keras.layers.Masking()(x)
    first = layer(masked)
    assert len(first) == 3
    second = layer(masked)
    assert np.any(ops.convert_to_numpy(second[0]) != ops.convert_to_numpy(first[0]))
    layer.reset_state()
    assert_array_equal(layer(masked)[0], first[0])
    layer.reset_state([first[1], first[2]])
    assert_array_equal(layer(masked)[0], second[0])


@pytest.mark.parametrize("states", [array(2, 4), [array(2, 4)], [array(2, 4)] * 3, []])
def test_wrong_number_of_states_is_named(states):
    layer = kv.Bidirectional(kv.VanillaRNN(4, stateful=True), name="both")
    message = r"must be a list of 2 tensors, 1 for the forward layer and 1 for the backward layer. Received"
    with pytest.raises(ValueError, match=rf'Bidirectional "both": `initial_state` {message}'):
        layer(array(2, 5, 3), initial_state=states)
    layer(array(2, 5, 3))
    with pytest.raises(ValueError, match=rf'Bidirectional "both": `states` {message}'):
        layer.reset_state(states)


def test_reset_needs_stateful():
    with pytest.raises(ValueError, match=r"`reset_state` needs a layer with `stateful=True`"):
        kv.Bidirectional(kv.VanillaRNN(4)).reset_state()


@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_mask_goes_on(merge_mode):
    x = array(2, 4, 3)
    x[0, 2:] = 0
    layer = kv.Bidirectional(
        kv.VanillaRNN(4, return_sequences=True, return_state=True), merge_mode=merge_mode
    )
    outputs = layer(keras.layers.Masking()(x))
    for output in outputs[: 1 if merge_mode else 2]:
        assert_array_equal(output._keras_mask, [[True, True, False, False], [True] * 4])
    assert getattr(outputs[-1], "_keras_mask", None) is None


def test_lstm_has_four_states():
    layer = kv.Bidirectional(keras.layers.LSTM(4))
    states = [array(2, 4) for _ in range(4)]
    plain = keras.layers.Bidirectional(keras.layers.LSTM(4))
    x = array(2, 5, 3)
    expected = plain(x, initial_state=states)
    assert_allclose(copied(plain, layer, x)(x, initial_state=states), expected, atol=1e-6)  # same computation
    with pytest.raises(
        ValueError, match=r"list of 4 tensors, 2 for the forward layer and 2 for the backward"
    ):
        layer(x, initial_state=states[:2])


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # Keras
def test_keras_file(tmp_path):
    inner = kv.VanillaRNN(4, stateful=True, dropout=0.2, seed=3)
    model = keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), kv.Bidirectional(inner, merge_mode="sum")])
    x = array(2, 5, 3)
    model(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is kv.Bidirectional
    assert_array_equal(loaded(x), model(x))

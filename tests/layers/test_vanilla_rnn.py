"""VanillaRNN: drop-in for SimpleRNN."""

import inspect

import keras
import numpy as np
import pytest
import reference
from backend_arrays import assert_allclose, assert_array_equal
from keras import ops
from problem_layers import call, layer_with_weights

import keras_vrnn as kv


def test_signature_is_that_of_simple_rnn():
    ours = list(inspect.signature(kv.VanillaRNN).parameters.values())
    theirs = list(inspect.signature(keras.layers.SimpleRNN).parameters.values())
    # zero_output_for_mask, which SimpleRNN takes in **kwargs, is spelled out, by keyword only.
    ours = [p for p in ours if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_forward_equals_oracle_and_simple_rnn(go_backwards, unroll, mask, use_bias):
    rng = np.random.default_rng(3)
    problem = reference.random_problem(rng, mask=mask, go_backwards=go_backwards, use_bias=use_bias)
    if mask:
        problem.mask[:, [0, -1]] = True  # SimpleRNN has its own idea of leading masked steps
    options = {"return_sequences": True, "return_state": True, "unroll": unroll}
    ours = layer_with_weights(problem, **options)
    outputs, state = call(ours, problem)
    expected = reference.forward(problem)
    # float32 rounding of sums of 10 terms over 5 steps.
    assert_allclose(outputs, expected, atol=1e-5)
    assert_allclose(state, expected[:, -1], atol=1e-5)
    last = layer_with_weights(problem, unroll=unroll)
    last.set_weights(ours.get_weights())
    assert_allclose(call(last, problem), expected[:, -1], atol=1e-5)
    if unroll and mask and keras.backend.backend() == "torch":
        return  # SimpleRNN itself fails there in Keras 3.15
    theirs = layer_with_weights(problem, keras.layers.SimpleRNN, **options)
    theirs.set_weights(ours.get_weights())
    assert_allclose(outputs, call(theirs, problem)[0], atol=1e-5)


def test_the_suite_notices_a_transposed_recurrent_kernel():
    problem = reference.random_problem(np.random.default_rng(4))
    layer = layer_with_weights(problem)
    kernel, recurrent_kernel, bias = layer.get_weights()
    layer.set_weights([kernel, recurrent_kernel.T, bias])
    assert reference.relative_error(call(layer, problem), reference.forward(problem)[:, -1]) > 1e-2


def test_weights_carry_over_both_ways():
    ours, theirs = kv.VanillaRNN(6), keras.layers.SimpleRNN(6)
    ours.build((None, None, 4))
    theirs.build((None, None, 4))
    theirs.set_weights(ours.get_weights())
    ours.set_weights(theirs.get_weights())
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, w.shape) for w in theirs.weights]


def full_config():
    """An argument off its default for every parameter of the constructor."""
    return {
        "units": 5,
        "activation": "relu",
        "use_bias": True,
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
    }


def test_every_argument_survives_config_and_clone():
    arguments = full_config()
    assert set(arguments) == set(inspect.signature(kv.VanillaRNN).parameters) - {"kwargs"}
    layer = kv.VanillaRNN(**arguments)
    assert set(arguments) <= set(layer.get_config())
    clone = kv.VanillaRNN.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert clone.cell.seed == 7
    default = kv.VanillaRNN(5).get_config()
    unchanged = [key for key in arguments if layer.get_config()[key] == default[key]]
    assert unchanged == ["units", "use_bias"]


@pytest.mark.parametrize("option", ["return_sequences", "return_state", "go_backwards", "stateful", "unroll"])
def test_flags_must_be_bool(option):
    with pytest.raises(ValueError, match=rf"`{option}` must be True or False. Received: {option}='no'"):
        kv.VanillaRNN(4, **{option: "no"})


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 4), r"`sequences` must have 3 dimensions.*Received: shape \(3, 4\). Add the missing axis"),
        ((3,), r"`sequences` must have 3 dimensions.*Received: shape \(3\)"),
        ((2, 3, 4, 5), r"`sequences` must have 3 dimensions.*Reshape the axes after time"),
        ((2, 0, 4), r"`sequences` must have at least one time step. Received: shape \(2, 0, 4\)"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_wrong_rank_is_named(shape, message, built):
    layer = kv.VanillaRNN(5, name="encoder")
    if built:
        layer.build((None, None, 4))
    with pytest.raises(ValueError, match=rf'VanillaRNN "encoder": {message}'):
        layer(np.zeros(shape, "float32"))


def test_wrong_rank_is_named_in_a_functional_model():
    with pytest.raises(
        ValueError, match=r"3 dimensions \(batch, time, features\). Received: shape \(None, 8\)"
    ):
        kv.VanillaRNN(5)(keras.Input((8,)))


def test_wrong_features_are_named():
    layer = kv.VanillaRNN(5)
    layer.build((None, None, 4))
    with pytest.raises(ValueError, match=r"must have 4 features.*Received: shape \(2, 3, 6\), 6 features"):
        layer(np.zeros((2, 3, 6), "float32"))


def test_features_must_be_static():
    with pytest.raises(ValueError, match=r"`sequences` must have a static last dimension \(features\)"):
        kv.VanillaRNN(5)(keras.Input((8, None)))


def test_unroll_needs_static_time():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow traces with an unknown number of steps")
    layer = kv.VanillaRNN(5, unroll=True)
    traced = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((2, None, 4))])
    with pytest.raises(
        ValueError,
        match=r"`sequences` must have a fixed number of time steps with `unroll=True`[\s\S]*leave `unroll=False`",
    ):
        traced.get_concrete_function()


# Keras 3.15 converts TensorFlow variables in a way that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
def test_keras_file_loads_without_custom_objects(tmp_path):
    rng = np.random.default_rng(5)
    inputs = keras.Input((None, 4))
    hidden = kv.VanillaRNN(6, return_sequences=True, dropout=0.1, seed=1)(inputs)
    hidden = keras.layers.Bidirectional(kv.VanillaRNN(5, return_sequences=True))(hidden)
    hidden = keras.layers.RNN([kv.VanillaRNNCell(3), kv.VanillaRNNCell(2)], return_sequences=True)(hidden)
    model = keras.Model(inputs, kv.VanillaRNN(3, "relu")(hidden))
    model.set_weights([rng.normal(size=w.shape) * 0.5 for w in model.get_weights()])
    x = rng.normal(size=(2, 7, 4)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[1]) is kv.VanillaRNN
    assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


@pytest.mark.parametrize(
    "wrapper", ["RNN", "StackedRNNCells", "Bidirectional", "TimeDistributed", "Sequential"]
)
def test_works_inside_keras_as_simple_rnn_does(wrapper):
    def build(cell, layer):
        if wrapper == "RNN":
            return keras.layers.RNN(cell(6), return_sequences=True)
        if wrapper == "StackedRNNCells":
            return keras.layers.RNN(keras.layers.StackedRNNCells([cell(6), cell(5)]))
        if wrapper == "Bidirectional":
            return keras.layers.Bidirectional(layer(6, return_sequences=True))
        if wrapper == "TimeDistributed":
            return keras.Sequential(
                [keras.layers.Reshape((3, 2, 4)), keras.layers.TimeDistributed(layer(5)), layer(2)]
            )
        return keras.Sequential([layer(6, return_sequences=True), layer(5, "relu", False)])

    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    ours = build(kv.VanillaRNNCell, kv.VanillaRNN)
    theirs = build(keras.layers.SimpleRNNCell, keras.layers.SimpleRNN)
    ours(x), theirs(x)
    ours.set_weights([rng.normal(size=w.shape) * 0.5 for w in theirs.get_weights()])
    theirs.set_weights(ours.get_weights())
    # The same float32 sums in another order.
    assert_allclose(ours(x), theirs(x), atol=1e-5)


def test_is_a_keras_rnn():
    layer = kv.VanillaRNN(4, "relu", False)
    assert isinstance(layer, keras.layers.SimpleRNN)
    assert isinstance(layer.cell, keras.layers.SimpleRNNCell)
    layer.build((None, None, 3))
    assert layer.cell.kernel.shape == (3, 4)
    assert layer.cell.recurrent_kernel.shape == (4, 4)
    assert layer.cell.bias is None


def test_integer_and_wider_inputs_are_cast():
    layer = kv.VanillaRNN(4)
    x = np.arange(24).reshape(2, 3, 4)
    expected = layer(x.astype("float32"))
    assert_array_equal(layer(x), expected)
    assert_array_equal(layer(x.astype("float64")), expected)
    assert ops.dtype(layer(x)) == "float32"

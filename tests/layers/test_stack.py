"""kv.StackedVanillaRNN: layers on layers, dropout between them."""

import inspect

import keras
import numpy as np
import pytest
from backend_arrays import assert_allclose, assert_array_equal
from keras import ops

import keras_vrnn as kv
from keras_vrnn.layers.stack import StackedFastRNN, StackedGRU, StackedLSTM

RNG = np.random.default_rng(10)


def array(*shape):
    return RNG.normal(size=shape).astype("float32")


STACKS = {
    "vanilla": (kv.StackedVanillaRNN, {"activation": "relu"}),
    "fast": (StackedFastRNN, {"alpha_initializer": "ones"}),
    "gru": (StackedGRU, {"reset_after": False}),
    "lstm": (StackedLSTM, {"unit_forget_bias": False, "recurrent_activation": "hard_sigmoid"}),
}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", STACKS)
def test_equals_layers_one_after_the_other(kind, bidirectional, return_sequences):
    stacked, options = STACKS[kind]
    x = array(2, 5, 3)
    mask = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool)
    stack = stacked(
        [6, 4],
        dropout=0.5,
        bidirectional=bidirectional,
        return_sequences=return_sequences,
        return_state=True,
        **options,
    )
    directions = 2 if bidirectional else 1
    width = directions * len(keras.tree.flatten(stacked.layer_class(2).cell.state_size))
    states = [array(2, units) for units in (6, 4) for _ in range(width)]
    assert stack.state_sizes == [state.shape[1] for state in states]
    output, *final = stack(x, initial_state=states, mask=mask)
    layers = [
        stacked.layer_class(6, return_sequences=True, return_state=True, **options),
        stacked.layer_class(4, return_sequences=return_sequences, return_state=True, **options),
    ]
    if bidirectional:
        layers = [kv.Bidirectional(layer) for layer in layers]
    layers[0].build(x.shape)
    layers[1].build((2, 5, 6 * directions))
    count = len(layers[0].weights)
    layers[0].set_weights(stack.get_weights()[:count])
    layers[1].set_weights(stack.get_weights()[count:])
    hidden, *first = layers[0](x, initial_state=states[:width], mask=mask)
    expected, *second = layers[1](hidden, initial_state=states[width:], mask=mask)
    for actual, wanted in zip([output, *final], [expected, *first, *second], strict=True):
        assert_allclose(actual, wanted, atol=1e-6)  # the same float32 sums
    shapes = stack.compute_output_shape(x.shape)
    assert [tuple(t.shape) for t in [output, *final]] == [tuple(shape) for shape in shapes]


def test_dropout_is_between_layers_only_and_seeded():
    options = {"activation": None, "kernel_initializer": "identity", "recurrent_initializer": "zeros"}

    def output(units):
        stack = kv.StackedVanillaRNN(units, dropout=0.5, seed=5, return_sequences=True, **options)
        return ops.convert_to_numpy(stack(np.ones((3, 7, 4), "float32"), training=True))

    assert set(np.unique(output([4]))) == {1.0}
    two = output([4, 4])
    assert set(np.unique(two)) == {0.0, 2.0}
    assert np.any(two[:, 0] != two[:, 1])  # drawn anew at each step, as in torch.nn.RNN
    assert_array_equal(two, output([4, 4]))


def test_reset_state():
    stack = kv.StackedVanillaRNN([6, 4], stateful=True, bidirectional=True, return_state=True)
    x = array(2, 5, 3)
    first = stack(x)
    second = stack(x)
    assert np.any(ops.convert_to_numpy(first[0]) != ops.convert_to_numpy(second[0]))
    stack.reset_state()
    assert_array_equal(stack(x)[0], first[0])
    stack.reset_states(states=list(first[1:]))
    assert_array_equal(stack(x)[0], second[0])
    assert stack.stateful


def test_cells_run_once_a_step():
    # Keras' RNN([cells]) with dropout runs each cell one extra time a call.
    stack = kv.StackedVanillaRNN([3, 3], recurrent_dropout=0.1, unroll=True)
    stack.build((2, 5, 3))
    steps = []
    for layer in stack.layers:
        activation = layer.cell.activation
        layer.cell.activation = lambda z, f=activation: (steps.append(1), f(z))[1]
    stack(array(2, 5, 3), training=True)
    assert len(steps) == 2 * 5


def test_every_argument_survives_config_and_clone():
    arguments = {
        "units": [5, 4],
        "dropout": 0.3,
        "bidirectional": True,
        "merge_mode": "sum",
        "return_sequences": True,
        "return_state": True,
        "seed": 3,
        "activation": "relu",
        "use_bias": False,
        "recurrent_initializer": kv.initializers.ScaledIdentity(0.5),
        "recurrent_dropout": 0.2,
        "stateful": True,
        "zero_output_for_mask": False,
    }
    signature = inspect.signature(
        kv.StackedVanillaRNN.__init__
    )  # Python 3.10 shows that of `__new__` for the class
    assert set(signature.parameters) - {"self", "options"} <= set(arguments)
    stack = kv.StackedVanillaRNN(**arguments, name="stack", dtype="mixed_float16")
    config = stack.get_config()
    assert set(arguments) <= set(config)
    clone = kv.StackedVanillaRNN.from_config(config)
    assert clone.get_config() == config
    assert clone.layers[1].forward_layer.activation is keras.activations.relu


@pytest.mark.parametrize("kind", STACKS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_options_of_one_cell_survive_config_and_clone(kind, bidirectional):
    stacked, options = STACKS[kind]
    given = {**options, "use_bias": False, "zero_output_for_mask": True, "recurrent_dropout": 0.2}
    config = stacked([5, 4], bidirectional=bidirectional, return_state=True, **given).get_config()
    clone = stacked.from_config(config)
    assert clone.get_config() == config
    assert {name: config[name] for name in given if not name.endswith("initializer")}.items() <= given.items()
    layer = clone.layers[1].forward_layer if bidirectional else clone.layers[1]
    assert type(layer) is stacked.layer_class
    for name, value in given.items():
        if name not in ("alpha_initializer", "zero_output_for_mask"):
            assert layer.get_config()[name] == value


@pytest.mark.parametrize("kind", STACKS)
def test_states_that_are_kept_start_from_zero_again(kind):
    stack, x = STACKS[kind][0]([4, 3], stateful=True), array(2, 5, 3)
    first, second = stack(x), stack(x)
    stack.reset_state()
    assert_allclose(stack(x), first, atol=1e-6)
    assert np.abs(ops.convert_to_numpy(second) - ops.convert_to_numpy(first)).max() > 1e-3


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)  # Keras
def test_keras_file(tmp_path):
    inputs = keras.Input((None,))
    hidden = keras.layers.Embedding(7, 3, mask_zero=True)(inputs)
    hidden = kv.StackedVanillaRNN([5, 4], dropout=0.1, return_sequences=True)(hidden)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(hidden))
    x = np.array([[1, 2, 3, 0], [4, 5, 6, 1]])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_array_equal(loaded(x), model(x))
    longer = np.concatenate([x, np.zeros_like(x)], axis=1)
    assert_allclose(model(longer), model(x), atol=1e-6)  # the mask goes through the stack; float32 sums


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 64}, r"`units` must be a list of positive integers.*Received: units=64"),
        ({"units": []}, r"`units` must be a list of positive integers.*Received: units=\[\]"),
        ({"units": [4, 0]}, r"`units\[1\]` must be a positive integer. Received: units\[1\]=0"),
        ({"dropout": 1.7}, r"`dropout` must be a number in \[0, 1\].*Received: dropout=1.7"),
        ({"merge_mode": None}, r"`merge_mode` must be one of 'concat'.*Received: merge_mode=None"),
        (
            {"go_backwards": True},
            r"`StackedVanillaRNN` has no argument `go_backwards`. Received: go_backwards=True.",
        ),
        ({"recurrent_dropout": 2}, r"`recurrent_dropout` must be a number in \[0, 1\]"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kv.StackedVanillaRNN(**{"units": [4, 4], **arguments})


@pytest.mark.parametrize("states", [array(2, 4), [array(2, 4)], [array(2, 4)] * 3])
def test_wrong_number_of_states_is_named(states):
    with pytest.raises(
        ValueError, match=r"`initial_state` must be a list of 2 tensors, layer by layer. Received"
    ):
        kv.StackedVanillaRNN([4, 4])(array(2, 3, 3), initial_state=states)


def test_options_of_another_cell_are_refused():
    with pytest.raises(
        ValueError, match=r"`StackedLSTM` has no argument `reset_after`. Received: reset_after=Tr"
    ):
        StackedLSTM([4], reset_after=True)

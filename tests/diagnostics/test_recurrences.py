"""Which recurrences of a model are opened, and that cells, stacks and directions have the flows of single layers."""

import keras
import numpy as np
from flows import only, weighted_sum
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import gradient_flow

# float64 models: a sum of a few hundred products loses at most three of its 16 digits.
EXACT = 1e-12
# float32 rounding of 4e-8, over a few dozen steps back.
SINGLE = 1e-5


def test_a_stack_of_cells_equals_a_stack_of_layers():
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(3, 5, 3)), rng.normal(size=2)

    def flow(*recurrent):
        model = keras.Sequential([keras.Input((5, 3), dtype="float64"), *recurrent])
        model.set_weights(
            [np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(model.weights)]
        )
        return gradient_flow(model, x, np.zeros((3, 1)), weighted_sum(weights))

    cells = [
        layers.LSTMCell(5, dtype="float64", name="a"),
        kv.VanillaRNNCell(4, dtype="float64", name="b"),
        layers.GRUCell(2, dtype="float64", name="c"),
    ]
    # dtype for the stack, too: it makes the first states.
    by_cells = flow(layers.RNN(layers.StackedRNNCells(cells, dtype="float64"), dtype="float64", name="stack"))
    by_layers = flow(
        layers.LSTM(5, return_sequences=True, dtype="float64"),
        kv.VanillaRNN(4, return_sequences=True, dtype="float64"),
        layers.GRU(2, dtype="float64"),
    )
    assert list(by_cells.norms) == ["stack/a", "stack/b", "stack/c"]
    for cell, layer in zip(by_cells.layers, by_layers.layers, strict=True):
        np.testing.assert_allclose(cell.norms, layer.norms, rtol=EXACT)
        np.testing.assert_allclose(cell.decay, layer.decay, rtol=EXACT)


def test_both_directions_equal_separate_layers():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3, 7, 3)).astype("float32")
    both = layers.Bidirectional(layers.LSTM(4))
    model = keras.Sequential([keras.Input((7, 3)), both, layers.Dense(1)])
    flow = gradient_flow(model, x, np.zeros((3, 1)), loss=lambda y, p: p)
    dense = model.layers[-1].get_weights()[0]
    for layer, direction, part in zip(
        flow.layers, (both.forward_layer, both.backward_layer), (dense[:4], dense[4:]), strict=True
    ):
        apart = type(direction).from_config(direction.get_config())
        alone = keras.Sequential([keras.Input((7, 3)), apart])
        alone.set_weights(direction.get_weights())
        expected = gradient_flow(alone, x, np.zeros((3, 1)), weighted_sum(part[:, 0]))
        np.testing.assert_allclose(layer.norms, only(expected).norms, rtol=SINGLE)
    assert "forward" in flow.layers[0].name
    assert "backward" in flow.layers[1].name


def test_layers_inside_nested_models_and_our_stack_are_found():
    inner = keras.Sequential(
        [keras.Input((7, 3)), kv.StackedVanillaRNN([4, 3], bidirectional=True)], name="inner"
    )
    x = keras.Input((7, 3))
    model = keras.Model(x, layers.Dense(1)(inner(x)))
    flow = gradient_flow(model, np.ones((2, 7, 3), "float32"), np.ones((2, 1)), "mse")
    assert [name.split("/")[-2:] for name in flow.norms] == [
        ["layer_0", "forward_layer_0"],
        ["layer_0", "backward_layer_0"],
        ["layer_1", "forward_layer_1"],
        ["layer_1", "backward_layer_1"],
    ]


def test_time_distributed_calls_its_layer_once_per_step():
    model = keras.Sequential(
        [keras.Input((2, 5, 3)), layers.TimeDistributed(kv.VanillaRNN(2)), layers.Flatten(), layers.Dense(1)]
    )
    flow = gradient_flow(model, np.ones((2, 2, 5, 3), "float32"), np.ones((2, 1)), "mse")
    assert [len(norms) for norms in flow.norms.values()] == [5, 5]


def test_a_layer_that_is_called_twice_has_two_flows():
    shared = kv.VanillaRNN(4, name="shared")
    a, b = keras.Input((5, 3)), keras.Input((9, 3))
    model = keras.Model([a, b], layers.Dense(1)(layers.concatenate([shared(a), shared(b)])))
    data = [np.ones((2, 5, 3), "float32"), np.ones((2, 9, 3), "float32")]
    flow = gradient_flow(model, data, np.ones((2, 1)), "mse")
    assert {name: len(norms) for name, norms in flow.norms.items()} == {"shared": 5, "shared (call 2)": 9}

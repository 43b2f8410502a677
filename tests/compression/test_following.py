"""Units are followed through the graph of a model."""

import keras
import pytest
from keras import layers as kl
from small_recurrent_models import X, randomized

import keras_vrnn as kv
from keras_vrnn import compression


def residual(inputs):
    h = kv.VanillaRNN(6, return_sequences=True, name="a")(inputs)
    return kl.Dense(2)(
        kl.GlobalAveragePooling1D()(kl.Add()([h, kl.GRU(6, return_sequences=True, name="b")(h)]))
    )


def encoder_decoder(inputs):
    _, *states = kl.LSTM(6, return_state=True, name="encoder")(inputs)
    h = kl.LSTM(6, return_sequences=True, name="decoder")(inputs, initial_state=states)
    return kl.Dense(2)(kl.Flatten()(h))


def nested(inputs):
    inner = keras.Sequential([keras.Input((6, 8)), kl.LSTM(4, return_sequences=True), kl.Dropout(0.1)])
    h = kv.VanillaRNN(8, return_sequences=True)(inputs)
    return kl.Dense(2)(kl.Flatten()(inner(h)))


def nested_graph(inputs):
    a, b = keras.Input((6, 8)), keras.Input((6, 4))
    inner = keras.Model([b, a], kl.Concatenate()([a, kv.VanillaRNN(4, return_sequences=True)(b)]))
    first = kl.SimpleRNN(8, return_sequences=True)(inputs)
    h = inner([kl.GRU(4, return_sequences=True)(first), first])
    return kl.TimeDistributed(kl.Dense(2))(h)


def shared(inputs):
    twice = kv.VanillaRNN(6, return_sequences=True)
    head = kl.Dense(2)
    h = twice(inputs)
    return kl.Concatenate()([head(h), head(twice(kl.Dense(3)(h)))])


def many_layers(inputs):
    h = kl.Bidirectional(kv.VanillaRNN(4, return_sequences=True), merge_mode="sum")(inputs)
    h = kl.BatchNormalization()(kl.Activation("relu")(h))
    h = kl.PReLU(shared_axes=[1])(h)
    h = kl.Conv1D(5, 3, padding="same")(kl.Concatenate()([h, inputs]))
    h = kl.GRU(6, return_sequences=True, reset_after=False, use_bias=False)(h)
    h = kl.MaxPooling1D(2)(kl.ReLU()(h))
    h = kl.Dense(3)(h[:, -1])
    return kl.Dense(2)(kl.LSTM(4)(kl.RepeatVector(3)(h)))


def stacked(inputs):
    h, *_ = kv.StackedVanillaRNN([6, 4], bidirectional=True, return_state=True, return_sequences=True)(inputs)
    return kl.Dense(2)(kv.StackedVanillaRNN([6, 4, 2])(kl.Masking()(kl.Dense(3)(h))))


def operators(inputs):
    h = kv.VanillaRNN(6, return_sequences=True)(inputs)
    g = kl.Bidirectional(kl.GRU(4, return_sequences=True), merge_mode=None)(h)
    return kl.Dense(2)(keras.ops.tanh(g[0] * g[1] + g[0])[:, 0])


GRAPHS = [residual, encoder_decoder, nested, nested_graph, shared, many_layers, stacked, operators]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("model_class", [keras.Model, kv.Model])
def test_units_are_followed_through_the_graph(graph, model_class):
    """`prune_units` itself compares the result with the large model whose removed units nothing reads."""
    inputs = keras.Input((6, 3))
    model = randomized(model_class(inputs, graph(inputs)))
    small = compression.prune_units(model, keep=0.5, data=X)
    assert type(small) is type(model)
    units = [layer.units for layer in small._flatten_layers() if isinstance(layer, kl.RNN)]
    before = [layer.units for layer in model._flatten_layers() if isinstance(layer, kl.RNN)]
    assert units == [count // 2 for count in before]
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]


def test_cells_that_cannot_be_resized_stay_where_another_layer_is_named():
    layers = [kl.RNN([kl.GRUCell(3), kl.GRUCell(4)], return_sequences=True), kl.GRU(8, name="b"), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    assert compression.prune_units(model, keep={"b": 0.25}, data=X).get_layer("b").units == 2

"""Removed units: the model gets smaller, and computes the same where they had no effect."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_vrnn as kv
from keras_vrnn import compression

# float32 rounding of sums in another order over some steps.
ROUNDING = 1e-5
RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 6, 3)).astype("float32")
Y = RNG.normal(size=(40, 2)).astype("float32")


def randomized(model, seed=5):
    """Random asymmetric weights and biases; those that a fresh model has may be symmetric or zero."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(scale=0.4, size=w.shape).astype("float32") + 0.1 for w in model.get_weights()]
    )
    return model


def compiled(model):
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def weight(model, ending):
    return next(w for w in model.weights if w.path.endswith(ending))


def silence(variable, rows):
    value = np.array(variable)
    value[rows] = 0.0
    variable.assign(value)


@pytest.mark.parametrize("layer", [kv.VanillaRNN, kl.SimpleRNN, kl.GRU, kl.LSTM])
@pytest.mark.parametrize("criterion", ["taylor", "reconstruction"])
def test_units_that_nothing_reads_go_first_and_leave_the_outputs_as_they_were(layer, criterion):
    model = kv.Sequential([keras.Input((6, 3)), layer(8, name="rnn"), kl.Dense(2, name="head")])
    randomized(compiled(model))
    silent = [1, 4, 5, 7]
    silence(weight(model, "recurrent_kernel"), silent)
    silence(weight(model, "head/kernel"), silent)
    before = np.array(model(X))
    small = compression.prune_units(model, keep=0.5, data=(X, Y), criterion=criterion)
    assert isinstance(small, kv.Sequential)
    assert small.get_layer("rnn").units == 4
    np.testing.assert_allclose(small(X), before, atol=ROUNDING)
    stays = [0, 2, 3, 6]
    np.testing.assert_array_equal(weight(small, "head/kernel"), np.array(weight(model, "head/kernel"))[stays])
    assert model.get_layer("rnn").units == 8  # the model itself is left as it is


def test_both_directions_and_the_layer_behind_them_are_cut_in_the_right_places():
    inputs = keras.Input((6, 3))
    h = kl.Bidirectional(kl.GRU(4, return_sequences=True, name="gru"), name="both")(inputs)
    h = kl.Dropout(0.2)(h)
    h = kl.LSTM(6, name="lstm")(h)
    model = randomized(compiled(kv.Model(inputs, kl.Dense(2, name="head")(h))))
    for direction, offset, silent in (("forward", 0, [0, 2]), ("backward", 4, [1, 3])):
        silence(weight(model, f"{direction}_gru/gru_cell/recurrent_kernel"), silent)
        silence(weight(model, "lstm_cell/kernel"), [offset + unit for unit in silent])
    silence(weight(model, "lstm_cell/recurrent_kernel"), [1, 2, 5])
    silence(weight(model, "head/kernel"), [1, 2, 5])
    small = compression.prune_units(model, keep=0.5, data=(X, Y))
    assert weight(small, "lstm_cell/kernel").shape == (4, 4 * 3)
    np.testing.assert_allclose(small(X), model(X), atol=ROUNDING)


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


def test_a_wrong_cut_does_not_pass_the_comparison(monkeypatch):
    from keras_vrnn.compression import channel_rules

    def swapped(channels, layer, inputs, outputs):
        return [np.concatenate([numbers for _, numbers in reversed(inputs)])]

    monkeypatch.setitem(channel_rules.RULES, kl.Concatenate, swapped)
    inputs = keras.Input((6, 3))
    h = kl.Concatenate()([kl.GRU(4)(inputs), kl.LSTM(4)(inputs)])
    model = randomized(keras.Model(inputs, kl.Dense(2)(h)))
    with pytest.raises(RuntimeError, match="bug of keras_vrnn"):
        compression.prune_units(model, keep=0.5, data=X)


def test_normalized_units_are_cut_with_their_scales():
    inputs = keras.Input((6, 3))
    h = kl.LayerNormalization()(kv.VanillaRNN(8, return_sequences=True)(inputs))
    model = compiled(randomized(kv.Model(inputs, kl.Dense(2)(kl.LSTM(4)(h)))))
    small = compression.prune_units(model, keep=0.25, data=(X, Y))
    assert weight(small, "layer_normalization/gamma").shape == (2,) or any(
        w.shape == (2,) for w in small.weights
    )
    assert small.predict(X, verbose=0).shape == (40, 2)


def test_only_named_layers_lose_units():
    layers = [kv.VanillaRNN(8, return_sequences=True, name="a"), kl.GRU(8, name="b"), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    small = compression.prune_units(model, keep={"b": 0.25}, data=X)
    assert [small.get_layer(name).units for name in "ab"] == [8, 2]


def test_cells_that_cannot_be_resized_stay_where_another_layer_is_named():
    layers = [kl.RNN([kl.GRUCell(3), kl.GRUCell(4)], return_sequences=True), kl.GRU(8, name="b"), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    assert compression.prune_units(model, keep={"b": 0.25}, data=X).get_layer("b").units == 2


def test_taylor_importance_is_the_change_of_the_loss_to_first_order():
    """Against a numerical derivative of the loss by a factor on each unit's readers."""
    from keras_vrnn.compression import importance
    from keras_vrnn.compression.following import Follower

    model = kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2, name="head")])
    randomized(compiled(model))
    channels = Follower(lambda name: 0.5).follow(model)
    scores = importance.taylor(channels, model, [(X, Y, None)], model.compute_loss)
    recurrent, head = weight(model, "recurrent_kernel"), weight(model, "head/kernel")
    original = np.array(recurrent), np.array(head)

    def loss(unit, factor):
        for variable, value in zip((recurrent, head), original, strict=True):
            scaled = value.copy()
            scaled[unit] *= factor
            variable.assign(scaled)
        return model.evaluate(X, Y, verbose=0, batch_size=40)

    step = 1e-2
    slopes = [(loss(unit, 1 + step) - loss(unit, 1 - step)) / (2 * step) for unit in range(4)]
    # Central differences of a float32 loss: 1e-7 / 1e-2 of rounding, and the third derivative times 1e-4.
    np.testing.assert_allclose(np.sqrt(scores[1:]), np.abs(slopes), atol=2e-4)


def test_moments_are_those_of_the_states_at_all_steps_that_count():
    from keras_vrnn.compression import readers
    from keras_vrnn.compression.following import Follower

    x = X.copy()
    x[:20, 4:] = 0.0
    layers = [kl.Masking(), kv.VanillaRNN(4, name="rnn", go_backwards=True), kl.Dense(2, name="head")]
    model = randomized(kv.Sequential([keras.Input((6, 3)), *layers]))
    channels = Follower(lambda name: 0.5).follow(model)
    (moment,) = readers.moments(channels, model, [(x[:25], None, None), (x[25:], None, None)]).values()
    every_step = kv.VanillaRNN(4, return_sequences=True, go_backwards=True)
    every_step.build((None, 6, 3))
    every_step.set_weights(model.get_layer("rnn").get_weights())
    counts = np.any(x != 0, axis=-1)
    h = np.array(every_step(x, mask=counts))[counts[:, ::-1]].astype(float)
    h = np.concatenate([h, np.ones((len(h), 1))], axis=1)
    np.testing.assert_allclose(moment, h.T @ h / len(h), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("use_bias", [True, False])
def test_weights_that_stay_take_over_by_least_squares(use_bias):
    """The head's new rows are those that ridge regression of its old product on the kept states gives."""
    head = kl.Dense(3, name="head", use_bias=use_bias)
    model = randomized(
        kv.Sequential([keras.Input((6, 3)), kl.GRU(6, return_sequences=True, name="rnn"), head])
    )
    h = np.array(model.get_layer("rnn")(X)).reshape(-1, 6).astype(float)
    product = h @ np.array(head.kernel) + (np.array(head.bias) if use_bias else 0.0)
    small = compression.prune_units(model, keep=0.5, data=X)
    kernel = np.array(model.get_layer("rnn").cell.kernel)
    columns = np.array(small.get_layer("rnn").cell.kernel)
    kept = [
        int(np.flatnonzero((kernel[:, :6] == column[:, None]).all(axis=0))[0]) for column in columns.T[:3]
    ]
    states = np.concatenate([h[:, kept], np.ones((len(h), int(use_bias)))], axis=1)
    ridge = 1e-3 * np.mean([*np.mean(h**2, axis=0), 1.0]) * len(h)
    # The ridge draws towards the old weights of the kept units, not towards zero.
    old = np.array(head.kernel)[kept].astype(float)
    old = np.concatenate([old, [np.array(head.bias)]]) if use_bias else old
    gram = states.T @ states + ridge * np.eye(states.shape[1])
    expected = old + np.linalg.solve(gram, states.T @ (product - states @ old))
    found = np.array(small.get_layer("head").kernel)
    found = np.concatenate([found, [np.array(small.get_layer("head").bias)]]) if use_bias else found
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)  # float32 weights and states


@pytest.mark.parametrize("layer", [kv.VanillaRNN, kl.GRU, kl.LSTM])
def test_units_that_others_can_replace_go_and_leave_the_outputs_nearly_as_they_were(layer):
    """Four units, each there twice: their readers differ."""
    inputs = keras.Input((6, 3))
    h = layer(8, return_sequences=True, name="rnn")(inputs)
    h = kl.Concatenate()([kl.Flatten()(h), kl.GlobalAveragePooling1D()(h), layer(3, name="next")(h)])
    model = randomized(kv.Model(inputs, kl.Dense(2)(h)))
    for variable in model.get_layer("rnn").weights:
        value = np.array(variable)
        columns = value.reshape(*value.shape[:-1], -1, 2, 4)
        columns[..., 1, :] = columns[..., 0, :]
        variable.assign(columns.reshape(value.shape))
    small = compression.prune_units(model, keep={"rnn": 0.5}, data=X)
    before, after = np.array(model(X)), np.array(small(X))
    assert small.get_layer("rnn").units == 4
    # The damping of M by 1e-3 of its mean leaves about as much of a unit's product behind.
    assert np.abs(after - before).max() < 0.02 * np.abs(before).max()


def test_masks_of_a_pruned_model_are_cut_too():
    model = compiled(randomized(kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(8), kl.Dense(2)])))
    sparse = compression.prune(model, lambda step: (True, 0.5))
    compiled(sparse).fit(X, Y, verbose=0)
    small = compiled(compression.prune_units(sparse, keep=0.5, data=(X, Y)))
    zeros = [np.array(w) == 0 for w in small.weights]
    small.fit(X, Y, verbose=0)
    for variable, was_zero in zip(small.weights, zeros, strict=True):
        if "kernel" in variable.path:
            assert was_zero.any()
            assert not np.array(variable)[was_zero].any()


def test_what_a_normalization_has_learned_is_kept():
    normalization = kl.Normalization()
    normalization.adapt(5.0 + 3.0 * X)
    model = kv.Sequential([keras.Input((6, 3)), normalization, kl.GRU(4), kl.Dense(2)])
    copy = compression.prune(model, lambda step: (True, 0.5))
    np.testing.assert_allclose(copy(X), model(X), atol=ROUNDING)
    small = compression.prune_units(model, keep=1.0, data=X)
    np.testing.assert_allclose(small(X), model(X), atol=ROUNDING)


def test_stateful_layers_with_a_fixed_batch_size():
    layers = [kv.VanillaRNN(8, stateful=True, return_sequences=True), kl.LSTM(4, stateful=True), kl.Dense(2)]
    model = randomized(kv.Sequential([keras.Input(batch_shape=(8, 6, 3)), *layers]))
    small = compression.prune_units(model, data=X[:21])
    assert [layer.units for layer in small.layers] == [4, 2, 2]
    with pytest.raises(ValueError, match="at least one batch of 8 samples"):
        compression.prune_units(model, data=X[:7])


def lambda_layer(inputs):
    h = kl.GRU(4, name="gru")(inputs)
    return kl.Dense(2)(kl.Lambda(lambda h: h * 2, name="double")(h))


def softmax(inputs):
    return kl.Dense(2)(kl.Activation("softmax", name="shares")(kl.GRU(4, name="gru")(inputs)))


def with_input(inputs):
    return kl.Dense(2)(kl.Add(name="sum")([kl.GRU(3, return_sequences=True, name="gru")(inputs), inputs]))


def as_output(inputs):
    return kl.GRU(4, name="gru")(inputs)


def stacked_cells(inputs):
    return kl.Dense(2)(kl.RNN([kl.GRUCell(3), kl.GRUCell(4)], name="gru")(inputs))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda_layer, "'gru' cannot be removed: they are inputs of Lambda \"double\".*keep="),
        (softmax, "'gru' cannot be removed: they are inputs of Activation \"shares\".*keep="),
        (with_input, "'gru' cannot be removed: Add \"sum\" combines them with values that stay.*keep="),
        (as_output, "'gru' cannot be removed: they are outputs of the model.*keep="),
        (stacked_cells, 'RNN "gru" cannot lose units: its cell StackedRNNCells.*keep='),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(graph, message):
    inputs = keras.Input((6, 3))
    with pytest.raises(ValueError, match=message):
        compression.prune_units(keras.Model(inputs, graph(inputs)), data=X)


def test_subclassed_models_are_refused():
    model = kv.EncoderDecoder(9, 9, units=4, source_length=5, target_length=5)
    with pytest.raises(TypeError, match="EncoderDecoder"):
        compression.prune_units(model, data=X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, "`keep` must be a finite number > 0.0"),
        ({"keep": 1.5}, r"`keep` must be in \(0, 1\]"),
        ({"keep": {"nonsense": 0.5}}, "`keep` must name layers of the model. Received: 'nonsense'"),
        ({"keep": {"head": 0.5}}, "without any layer"),
        ({"criterion": "size"}, "`criterion` must be 'reconstruction' or 'taylor'"),
        ({"criterion": "taylor"}, "needs targets"),
        ({"data": (X, Y), "criterion": "taylor"}, "not compiled"),
        ({"data": (X, Y[:3])}, "same number of samples"),
        ({"data": []}, "`data`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    model = kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2, name="head")])
    with pytest.raises(ValueError, match=message):
        compression.prune_units(model, **{"data": X, **arguments})


def test_dataset_as_data():
    import tensorflow as tf

    model = compiled(kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(4), kl.Dense(2)]))
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    assert compression.prune_units(model, data=data).layers[0].units == 2

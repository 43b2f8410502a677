"""Rebuilt models hold everything that their originals do: statistics, functions, tables; or they are refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_vrnn as kv
from keras_vrnn.layers.interception import layers_of
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.capture.rebuilding import check_same, rebuilt

BATCH = 4
# Far from mean 0 and variance 1, so that lost statistics show.
X = (5 + 3 * np.random.default_rng(0).normal(size=(8, 6, 3))).astype("float32")
SCALE = 3.0  # read by a lambda below


class Scaled(layers.Layer):
    """A layer of the user's, which is not registered."""

    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def activation(x):
    return 0.9 * ops.tanh(x)


def adapted(**options):
    layer = layers.Normalization(**options)
    layer.adapt(X)
    return layer


def discretization():
    layer = layers.Discretization(num_bins=4, output_mode="int")
    layer.adapt(X)
    return layer


def small():
    return layers.Rescaling(0.1)


def attention(x):
    x = small()(x)
    return layers.MultiHeadAttention(2, 2, output_shape=5)(x, x)


FRONTS = {
    "Normalization": lambda x: adapted()(x),
    "Normalization, one statistic": lambda x: adapted(axis=None)(x),
    "Normalization with given values": lambda x: layers.Normalization(mean=[5.0] * 3, variance=[9.0] * 3)(x),
    "Normalization in a model": lambda x: keras.Sequential([keras.Input((6, 3)), adapted()])(x),
    "BatchNormalization": lambda x: layers.BatchNormalization()(small()(x)),
    "LayerNormalization": lambda x: layers.LayerNormalization()(x),
    "Discretization": lambda x: ops.sum(layers.Embedding(6, 4)(discretization()(x)), axis=2),
    "lambda": lambda x: layers.Lambda(lambda v: (v - 5) / SCALE, output_shape=lambda shape: shape)(x),
    "function": lambda x: layers.Lambda(activation)(small()(x)),
    "activations": lambda x: layers.Dense(4, activation)(layers.Dense(4, lambda v: v * 0.3)(small()(x))),
    "the user's layer": lambda x: Scaled(0.2)(x),
    "attention": attention,
    "EinsumDense": lambda x: layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))(small()(x)),
    "Dropout": lambda x: layers.Dropout(0.3)(small()(x)),
    "operations": lambda x: ops.cast(x > 5, "float32") + ops.cast(x, "float32") / 9,
}
RECURRENCES = {
    "VanillaRNN": lambda **o: kv.VanillaRNN(4, activation=activation, dropout=0.2, **o),
    "SimpleRNN": lambda **o: layers.SimpleRNN(4, **o),
    "RNN": lambda **o: layers.RNN(layers.SimpleRNNCell(4, activation=lambda v: ops.tanh(v)), **o),
    "Bidirectional": lambda **o: kv.Bidirectional(kv.VanillaRNN(4, **o)),
    "stack": lambda **o: kv.StackedVanillaRNN([4, 3], **o),
}
# Mean difference relative to the largest output: float32 rounding; some tens of roundings of 2^-11.
BARS = {"float32": 1e-6, "float64": 1e-6, "mixed_float16": 5e-3}


def difference(model, made, x=X[:BATCH]):
    expected, received = (
        [np.asarray(output, np.float64) for output in keras.tree.flatten(structure.call(m, [x]))]
        for m in (model, made)
    )
    return max(np.abs(e - r).mean() / np.abs(e).max() for e, r in zip(expected, received, strict=True))


@pytest.fixture(params=["float32", "float64", "mixed_float16"])
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def built(front, recurrence, policy):
    stateful = policy == "float32"
    inputs = keras.Input(batch_shape=(BATCH if stateful else None, 6, 3), name="x")
    return keras.Model(inputs, layers.Dense(3)(recurrence(stateful=stateful)(front(inputs))))


@pytest.mark.parametrize("front", FRONTS)
def test_layers_keep_what_they_hold(front, policy):
    keras.utils.set_random_seed(1)
    model = built(FRONTS[front], RECURRENCES["VanillaRNN"], policy)
    made = rebuilt(model)
    own = [layer for layer in layers_of(made) if layer.weights and not isinstance(layer, keras.Model)]
    assert {layer.compute_dtype for layer in own} == {"float32"}
    check_same(model, made, [X])
    assert difference(model, made) <= BARS[policy]


@pytest.mark.parametrize("recurrence", RECURRENCES)
def test_recurrences_keep_what_they_hold(recurrence, policy):
    keras.utils.set_random_seed(1)
    model = built(FRONTS["Normalization"], RECURRENCES[recurrence], policy)
    made = rebuilt(model)
    check_same(model, made, [X])
    assert difference(model, made) <= BARS[policy]


def test_dictionaries_and_our_models_are_rebuilt_as_they_are():
    inputs = keras.Input(batch_shape=(BATCH, 6, 3), name="x")
    outputs = {"z": kv.VanillaRNN(4, stateful=True)(adapted()(inputs)), "a": inputs[:, 0]}
    made = rebuilt(kv.Model({"x": inputs}, outputs))
    assert isinstance(made, kv.Model)
    assert sorted(made.output) == ["a", "z"]


def hidden():
    class Hidden(layers.Layer):
        factor = 1.0

        def call(self, x):
            return x * self.factor

    layer = Hidden()
    layer.factor = 0.2
    return layer


def test_what_is_in_no_configuration_is_noticed(policy, tmp_path):
    model = built(lambda x: hidden()(x), RECURRENCES["VanillaRNN"], policy)
    with pytest.raises(ValueError, match=r"outputs that differ by .* neither in its weights nor in its conf"):
        check_same(model, rebuilt(model), [X])
    with pytest.raises(ValueError, match="outputs that differ by"):
        kv.tflite.export(model, tmp_path / "m", calibration_data=X)
    assert list(tmp_path.iterdir()) == []


def test_lost_statistics_are_noticed():
    model = built(FRONTS["Normalization"], RECURRENCES["VanillaRNN"], "float32")
    made = rebuilt(model)
    next(layer for layer in made.layers if isinstance(layer, layers.Normalization)).adapt(10 * X)
    with pytest.raises(ValueError, match="outputs that differ by"):
        check_same(model, made, [X])


def test_a_stateful_model_keeps_its_states(tmp_path):
    model = built(FRONTS["Normalization"], RECURRENCES["VanillaRNN"], "float32")
    model.predict(X[:BATCH], verbose=0, batch_size=BATCH)
    layer = next(layer for layer in model.layers if isinstance(layer, kv.VanillaRNN))
    before = np.array(layer.states[0])
    assert np.abs(before).max() > 0
    kv.tflite.export(model, tmp_path / "m", quantization="float32", calibration_data=X)
    np.testing.assert_array_equal(layer.states[0], before)
    layer.reset_state()
    made = kv.tflite.Runner(tmp_path / "m")(X[:BATCH])
    np.testing.assert_allclose(made, model(X[:BATCH]), atol=1e-5)  # float32 rounding over six steps


@pytest.mark.parametrize("option", ["mixed_float16", "float64", "stateful"])
def test_an_exported_model_holds_its_statistics(option, tmp_path):
    keras.utils.set_random_seed(1)
    stateful = option == "stateful"
    dtype = "float32" if stateful else option
    inputs = keras.Input(batch_shape=(BATCH if stateful else None, 6, 3))
    model = keras.Model(
        inputs, layers.SimpleRNN(4, stateful=stateful, dtype=dtype)(adapted(dtype=dtype)(inputs))
    )
    expected = np.asarray(model(X[:BATCH]), np.float64)
    kv.tflite.export(model, tmp_path / "m", quantization="float32", calibration_data=X)
    error = np.abs(kv.tflite.Runner(tmp_path / "m")(X[:BATCH]) - expected).mean()
    assert error <= BARS[dtype] * np.abs(expected).max()

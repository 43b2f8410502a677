"""Names of inputs and outputs in every structure, and names that a file keeps for itself."""

import keras
import numpy as np
import pytest
from against_keras import exported_errors
from exported_models import random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.models import structure

X = random_data(4, 6, 3)


def model_of(outputs, name="x"):
    inputs = keras.Input((6, 3), name=name)
    return keras.Model(inputs, outputs(inputs))


def rnn(name, units=2):
    return kv.VanillaRNN(units, name=name)


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (lambda x: rnn("y")(x), ["y"]),
        (lambda x: [rnn("b")(x), rnn("a")(x)], ["b", "a"]),
        (lambda x: {"late": rnn("b")(x), "early": rnn("a")(x)}, ["early", "late"]),
        (lambda x: {"p": [rnn("b")(x), rnn("a")(x)], "o": rnn("c")(x)}, ["o", "p_0", "p_1"]),
        (lambda x: [{"k": rnn("b")(x)}, rnn("a")(x)], ["0_k", "a"]),
        (
            lambda x: [x, rnn("a")(x)],
            ["x_1", "a"],
        ),  # an interpreter's names are those of inputs and outputs together
        (lambda x: {"x": x, "x_1": rnn("a")(x)}, ["x_1", "x_1_1"]),
        (lambda x: [(a := rnn("a"))(x), a(2 * x), layers.Dense(2, name="a_1")(a(x))], ["a", "a_1", "a_1_1"]),
    ],
)
def test_names_of_outputs(outputs, names, tmp_path):
    model = model_of(outputs)
    assert structure.output_names(model, model(X), taken=["x"]) == names
    result = kv.tflite.export(model, tmp_path / "m", quantization="float32")
    assert result.signatures["serving_default"]["outputs"] == names
    assert max(exported_errors(model, X, tmp_path / "m", "float32")) <= 1e-5  # float32 rounding


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (lambda a, b: [b, a], ["b", "a"]),
        (lambda a, b: {"b": b, "a": a}, ["a", "b"]),
        (lambda a, b: {"second": b, "first": a}, ["first", "second"]),
        (lambda a, b: [[b], a], ["b", "a"]),
        (lambda a, b: {"pair": [b, a]}, ["pair_0", "pair_1"]),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:When providing `inputs` as a dict"
)  # keys that are not the tensors' names
def test_names_of_inputs(inputs, names):
    a, b = keras.Input((6, 3), name="a"), keras.Input((6, 3), name="b")
    model = keras.Model(inputs(a, b), rnn("y")(a - 2 * b))
    assert structure.input_names(model) == names
    by_name = {"a": X, "first": X, "b": -X, "second": -X, "pair_0": -X, "pair_1": X}
    received = structure.call(model, structure.flat(model, {name: by_name[name] for name in names}))
    expected = keras.Model([a, b], model.outputs)([X, -X])
    np.testing.assert_array_equal(received, keras.tree.flatten(expected)[0])


@pytest.mark.parametrize(
    "name", ["a b", "x:0", "1", "ö", "reset", "state", "stock", "value_0", "training", "self", "main", "y_0"]
)
def test_odd_names_of_inputs(name, tmp_path):
    model = model_of(lambda x: layers.Dense(2)(kv.VanillaRNN(3, name="y")(x)), name)
    assert max(exported_errors(model, X, tmp_path / "m", "float32")) <= 1e-5  # float32 rounding
    assert kv.tflite.Runner(tmp_path / "m").inputs == [name]


def test_what_does_not_fit_is_none():
    model = model_of(lambda x: rnn("y")(x))
    assert structure.flat(model, {"z": X}) is None
    a, b = keras.Input((6, 3), name="a"), keras.Input((6, 3), name="b")
    two = keras.Model([[a], {"k": b}], rnn("y")(a + b))
    assert structure.flat(two, [[X]]) is None
    assert structure.flat(two, X) is None
    assert len(structure.flat(two, [[X], {"k": X}])) == 2


def test_a_model_that_tensorflow_cannot_run_is_refused():
    inputs = keras.Input(batch_shape=(6, 6, 3))
    model = keras.Model(inputs, keras.ops.reshape(rnn("y")(inputs), (6, 2, 1)))
    with pytest.raises(
        ValueError, match=r"`model` must run on inputs of the shapes \[\(4, 6, 3\)\]. Received"
    ):
        structure.call(model, [X])

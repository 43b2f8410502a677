"""The model's own outputs, and which inputs and outputs of a file belong to which of the model."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.verifying import originals


def file(inputs=("x",), outputs=("y",)):
    return SimpleNamespace(inputs=list(inputs), outputs=list(outputs))


def model_of(names):
    inputs = [keras.Input((5, 3), name=name) for name in names]
    return keras.Model(inputs, [kv.VanillaRNN(4)(i) for i in inputs])


def test_names_given_by_the_user_match_in_any_order():
    assert originals.input_names(model_of(["a", "b"]), file(["b", "a"])) == ["a", "b"]


@pytest.mark.parametrize(
    "names", [["keras_tensor_7", "keras_tensor_8"], ["input_layer", "input_layer_1"], ["input_1", "input"]]
)
def test_automatic_names_match_by_order(names):
    assert originals.input_names(model_of([None, None]), file(names)) == names


def test_automatic_names_match_by_order_even_if_they_overlap():
    """The second input of the model has the name of the file's first."""
    model = model_of([None, None])
    second = model.inputs[1].name
    assert originals.input_names(model, file([second, "keras_tensor_9999"])) == [second, "keras_tensor_9999"]


def test_both_kinds_in_one_model():
    assert originals.input_names(model_of([None, "b"]), file(["b", "input_layer"])) == ["input_layer", "b"]


@pytest.mark.parametrize(
    ("names", "of_file"),
    [(["a"], ["b"]), ([None], ["a"]), (["a"], ["a", "b"]), ([None, None], ["input_layer"])],
)
def test_other_inputs_are_refused(names, of_file):
    with pytest.raises(ValueError, match=r"must be a file of the model. It has the inputs"):
        originals.input_names(model_of(names), file(of_file))


# Keras warns of keys that differ from the inputs' names, but accepts them.
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_dictionaries_match_by_key():
    inputs = {"zeta": keras.Input((5, 3), name="one"), "alpha": keras.Input((5, 2), name="two")}
    model = keras.Model(inputs, {key: kv.VanillaRNN(4)(tensor) for key, tensor in inputs.items()})
    # Keras flattens a dictionary in the order of its keys.
    assert [tensor.name for tensor in model.inputs] == ["two", "one"]
    assert originals.input_names(model, file(["zeta", "alpha"])) == ["alpha", "zeta"]
    with pytest.raises(ValueError, match="must be a file of the model"):
        originals.input_names(model, file(["one", "two"]))


def test_a_list_inside_a_dictionary_matches_by_its_place():
    pair = [keras.Input((5, 3)), keras.Input((5, 2))]
    model = keras.Model({"pair": pair}, [kv.VanillaRNN(4)(tensor) for tensor in pair])
    assert originals.input_names(model, file(["pair_1", "pair_0"])) == ["pair_0", "pair_1"]


def test_outputs_match_by_order():
    assert originals.output_names([1, 2], file(outputs=["p", "q"])) == ["p", "q"]
    with pytest.raises(ValueError, match=r"outputs \['p'\], the model has 2"):
        originals.output_names([1, 2], file(outputs=["p"]))


def test_outputs_start_from_zero_in_batches_of_the_model():
    inputs = keras.Input(batch_shape=(4, 5, 3))
    model = keras.Model(inputs, kv.VanillaRNN(2, stateful=True)(inputs))
    plain = keras.Model(*[(i := keras.Input((5, 3))), kv.VanillaRNN(2)(i)])
    plain.set_weights(model.get_weights()[:3])
    x = np.random.default_rng(0).normal(size=(7, 5, 3)).astype("float32")
    for _ in range(2):
        (found,) = originals.outputs(model, [x])
        # float32 rounding over five steps.
        np.testing.assert_allclose(found, plain.predict(x, verbose=0), atol=1e-6)

"""Arrays that users pass for a model's inputs."""

import keras
import numpy as np
import pytest
from exported_models import dense_front, random_data, random_tokens, token_model
from keras import layers

import keras_vrnn as kv
from keras_vrnn.models.input_arrays import as_inputs

REFUSED = {
    "empty": (np.zeros((0, 9, 4)), r"`data` must hold at least one sample. Received: shape \(0, 9, 4\)"),
    "rank": (np.zeros((9, 4)), r"`data` must have the shape \(samples, 9, 4\). Received: shape \(9, 4\)"),
    "shape": (np.zeros((2, 9, 5)), r"must have the shape \(samples, 9, 4\)"),
    "NaN": (
        np.full((2, 9, 4), np.nan),
        r"must be finite. Received: NaN or infinite values in 2 of 2 samples",
    ),
    "one NaN": (np.where(np.arange(72).reshape(2, 9, 4) == 3, np.inf, 0), "in 1 of 2 samples"),
    "text": (np.full((2, 9, 4), "a"), "`data` must hold numbers. Received: an array of <U1"),
    "complex": (np.zeros((2, 9, 4), complex), "must hold numbers. Received: an array of complex128"),
    "objects": (np.full((2, 9, 4), None), "must hold numbers. Received: an array of object"),
    "dates": (np.zeros((2, 9, 4), "datetime64[s]"), "must hold numbers"),
    "beyond float32": (np.full((2, 9, 4), 1e60), r"must fit float32. Received: values up to 1e\+60"),
    "ragged": ([[1.0], [1.0, 2.0]], r"must be an array of shape \(samples, 9, 4\). Received: a list"),
    "names": (
        {"y": np.zeros((2, 9, 4))},
        r"one array per input of the model, \[.*\]. Received: the keys \['y'\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arrays_are_refused(case):
    x, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        as_inputs(dense_front(), x, "data")


@pytest.mark.parametrize("value", [0.5, 3e10, -1e30])
def test_numbers_that_are_no_tokens_are_refused(value):
    with pytest.raises(
        ValueError, match=r"`data` must hold integers that fit int32. Received: values such as"
    ):
        as_inputs(token_model(), np.full((2, 12), value), "data")


def two_inputs(structure):
    a, b = keras.Input((5, 2), name="a"), keras.Input((5, 2), name="b")
    y = layers.Subtract()([kv.VanillaRNN(3)(a), kv.VanillaRNN(3)(b)])
    return keras.Model(structure(a, b), y)


@pytest.mark.parametrize(
    ("structure", "x"),
    [
        (lambda a, b: [b, a], lambda a, b: [b, a]),
        (lambda a, b: (b, a), lambda a, b: (b, a)),
        (lambda a, b: [b, a], lambda a, b: {"a": a, "b": b}),
        (lambda a, b: {"b": b, "a": a}, lambda a, b: {"a": a, "b": b}),
        (lambda a, b: {"b": b, "a": a}, lambda a, b: [a, b]),  # sorted by key, as Keras flattens it
        (lambda a, b: [[b], {"k": a}], lambda a, b: [[b], {"k": a}]),
        (lambda a, b: [[b], {"k": a}], lambda a, b: {"b": b, "1_k": a}),
    ],
)
def test_every_structure_of_two_inputs(structure, x):
    model = two_inputs(structure)
    a, b = random_data(4, 5, 2), 3 * random_data(4, 5, 2)
    by_tensor = dict(zip([t.name for t in model.inputs], as_inputs(model, x(a, b), "x"), strict=True))
    np.testing.assert_array_equal(by_tensor["a"], a)
    np.testing.assert_array_equal(by_tensor["b"], b)


def test_different_numbers_of_samples_are_refused():
    model = two_inputs(lambda a, b: [a, b])
    with pytest.raises(ValueError, match=r"same number of samples for every input. Received: \[4, 3\]"):
        as_inputs(model, [random_data(4, 5, 2), random_data(3, 5, 2)], "x")
    with pytest.raises(ValueError, match=r"\['a', 'b'\]. Received: 3 arrays"):
        as_inputs(model, [random_data(4, 5, 2)] * 3, "x")
    with pytest.raises(ValueError, match=r"`x\['b'\]` must have the shape \(samples, 5, 2\)"):
        as_inputs(model, {"a": random_data(4, 5, 2), "b": random_data(4, 5, 1)}, "x")


def test_a_list_of_one_array():
    a = keras.Input((5, 2), name="a")
    model = keras.Model([a], [kv.VanillaRNN(3)(a)])
    (array,) = as_inputs(model, [random_data(4, 5, 2)], "x")
    assert array.shape == (4, 5, 2)


def test_tokens_as_given(tmp_path):
    (array,) = as_inputs(token_model(), random_tokens(4, 12, 20).tolist(), "x")
    assert array.dtype == np.int32

"""The stock part of a model and its recurrences: names, connections, and what is left out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import random_data, random_tokens
from keras import layers, ops

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.exporting.capture.partition import partition
from keras_vrnn.tflite.exporting.parts import Mask


def parts_of(model, x, quantization="float32"):
    specs = {model.inputs[0].name: tf.TensorSpec((1, *x.shape[1:]), model.inputs[0].dtype)}
    return partition(model, specs, observe(model, [x[:1]]), quantization)


def test_nothing_but_recurrences_has_no_stock_part():
    inputs = keras.Input((6, 4), name="x")
    x = kv.VanillaRNN(3, return_sequences=True, name="a")(inputs)
    parts = parts_of(keras.Model(inputs, kv.VanillaRNN(2, name="b")(x)), random_data(2, 6, 4))
    assert parts.stock is None
    assert [(r.x, r.sequence, r.finals) for r in parts.recurrences] == [
        ("x", "a_0/sequence", (None,)),
        ("a_0/sequence", None, ("b_1/final",)),
    ]
    assert parts.outputs == {"b": "b_1/final"}


def test_the_stock_part_reads_and_makes_named_values():
    inputs = keras.Input((6, 4), name="x")
    x = kv.VanillaRNN(3, name="a")(layers.Dense(5)(inputs))
    parts = parts_of(keras.Model(inputs, [layers.Dense(2, name="y")(x), x]), random_data(2, 6, 4))
    assert parts.stock_inputs == ["x", "a_0/final"]
    assert parts.stock_outputs == ["stock/0", "stock/1"]
    assert parts.recurrences[0].x == "stock/0"
    assert parts.outputs == {"y": "stock/1", "a": "a_0/final"}
    assert [tuple(t.shape) for t in parts.stock.outputs] == [(1, 6, 5), (1, 2)]


def test_an_input_that_the_stock_part_does_not_read_is_not_its_argument():
    inputs = keras.Input((6, 4), name="x")
    parts = parts_of(keras.Model(inputs, layers.Softmax()(kv.VanillaRNN(3)(inputs))), random_data(2, 6, 4))
    assert parts.stock_inputs == [f"{parts.recurrences[0].name}/final"]


def test_masks_are_left_out_of_the_stock_part():
    inputs = keras.Input((6,), dtype="int32", name="x")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    parts = parts_of(keras.Model(inputs, kv.VanillaRNN(3)(x)), random_tokens(2, 6, 9))
    assert parts.masks == {"x/mask": Mask("x", 0.0)}
    assert parts.recurrences[0].mask == "x/mask"
    assert [tensor.dtype for tensor in parts.stock.outputs] == [tf.float32]


def test_values_that_depend_on_no_input_are_constants():
    inputs = keras.Input((6, 4), name="x")
    state = ops.ones_like(inputs[:, 0, :3]) / 4
    y = kv.VanillaRNN(3, name="a")(layers.Dense(4)(inputs), initial_state=state)
    parts = parts_of(keras.Model(inputs, y), random_data(2, 6, 4))
    ((name, value),) = parts.constants.items()
    np.testing.assert_array_equal(value, np.full((1, 3), 0.25))
    assert parts.recurrences[0].initial_states == (name,)
    assert name not in parts.stock_outputs


def test_zero_states_are_not_values_of_their_own():
    inputs = keras.Input((6, 4), name="x")
    y = kv.VanillaRNN(3)(inputs, initial_state=ops.zeros_like(inputs[:, 0, :3]))
    parts = parts_of(keras.Model(inputs, y), random_data(2, 6, 4))
    assert parts.recurrences[0].initial_states == (None,)


def test_float_tokens_inside_a_nested_model_are_refused(tmp_path):
    inner = keras.Sequential([keras.Input((9,)), layers.Embedding(30, 4)])
    inputs = keras.Input((9,), name="tokens")
    model = keras.Model(inputs, kv.VanillaRNN(3)(inner(inputs)))
    with pytest.raises(
        ValueError, match=r"Received: input 'tokens' of float32. Declare it with .*dtype='int32'"
    ):
        kv.tflite.export(model, tmp_path / "m", calibration_data=random_tokens(4, 9, 30))

"""Marks become formats, and every tensor gets exactly one."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import built, rounded_up

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting import stock
from keras_vrnn.tflite.exporting.stated_ranges import mark
from keras_vrnn.tflite.exporting.writing import marks
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

WIDE, NARROW = Quantization(0.0625, 5), Quantization(0.03125, -128)


def floats(function, shape=(1, 4, 6)):
    concrete = tf.function(function, input_signature=[tf.TensorSpec(shape)], autograph=False)
    return ModelFile(stock.convert(concrete.get_concrete_function(), "float32"))


def int8(tensor, stated):
    return mark(tensor, stated, "int8")


def spread(function, shape=(1, 4, 6)):
    """Each operator with the formats of its operands and results; None for a constant."""
    file = floats(function, shape)
    formats = marks.spread(file.main, SCHEMES["int8"], marks.taken(file.main))
    return [
        (
            file.operator_name(operator),
            *(formats.get(index) for index in (*operator.inputs[:1], *operator.outputs)),
        )
        for operator in file.main.subgraph.operators
    ]


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("scale", [0.9140625, 65535 * 2.0**-41, 511 * 2.0**-14, 2.0**90])
@pytest.mark.parametrize("zero_point", [-128, -1, 0, 127])
def test_a_mark_is_read_exactly(quantization, scale, zero_point):
    if quantization == "int16x8":
        scale = float(rounded_up(scale, 9))
    stated = Quantization(scale, zero_point if quantization == "int8" else 0)
    file = floats(lambda x: [mark(x + 1.0, stated, quantization)])
    assert list(marks.taken(file.main).values()) == [stated]
    assert [file.operator_name(operator) for operator in file.main.subgraph.operators] == ["ADD"]


def test_moved_integers_keep_their_format():
    made = spread(lambda x: [int8(tf.transpose(tf.nn.relu(int8(x, WIDE)), (0, 2, 1)), NARROW)])
    assert made == [("RELU", WIDE, NARROW), ("TRANSPOSE", NARROW, NARROW)]
    made = spread(lambda x: [tf.transpose(int8(tf.nn.relu(int8(x, WIDE)), NARROW), (0, 2, 1))])
    assert made == [("RELU", WIDE, NARROW), ("TRANSPOSE", NARROW, NARROW)]


def test_a_kernel_that_sets_its_format_needs_no_mark():
    fixed = Quantization(1 / 128)
    assert spread(lambda x: [tf.tanh(int8(x, WIDE))]) == [("TANH", WIDE, fixed)]
    assert spread(lambda x: [int8(tf.tanh(int8(x, WIDE)), fixed)]) == [("TANH", WIDE, fixed)]
    with pytest.raises(ValueError, match=r"TANH .* scale 0.0625, .* instead of scale 0.0078125"):
        spread(lambda x: [int8(tf.tanh(int8(x, WIDE)), WIDE)])


def test_dead_values_keep_formats_of_their_own():
    """Tensors that are always zero cannot be told apart by their values."""
    dead = built(layers.Dense(6, "relu"), (4, 6))
    dead.set_weights([dead.get_weights()[0], np.full(6, -1e6)])
    made = spread(lambda x: [int8(dead(int8(dead(int8(x, WIDE)), NARROW)), WIDE)])
    assert [each for each in made if each[0] == "FULLY_CONNECTED"] == [
        ("FULLY_CONNECTED", WIDE, NARROW),
        ("FULLY_CONNECTED", NARROW, WIDE),
    ]


def test_a_missing_or_second_mark_is_named():
    with pytest.raises(ValueError, match=r"value '.*' with no mark. Mark every float input"):
        spread(lambda x: [int8(x + 1.0, WIDE)])
    with pytest.raises(ValueError, match=r"result of ADD in '.*' with no mark"):
        spread(lambda x: [int8(x, WIDE) + 1.0])
    with pytest.raises(ValueError, match=r"two marks, scale 0.0625, zero point 5 and scale 0.03125"):
        spread(lambda x: [int8(int8(x, WIDE), NARROW)])
    with pytest.raises(ValueError, match=r"MAX_POOL_2D|RESHAPE"):
        spread(lambda x: [int8(tf.nn.max_pool1d(int8(x, WIDE), 2, 2, "VALID"), NARROW)])


def test_a_range_that_the_converter_would_move_is_refused():
    with pytest.raises(
        ValueError, match=r"range of at least 2e-06 .* Received: the range from -.*e-1\d to .* of 'x"
    ):
        floats(lambda x: [int8(x, Quantization(2.0**-60))])
    with pytest.raises(ValueError, match=r"`stated` must have a range whose ends are exact in float32"):
        floats(lambda x: [int8(x, Quantization(0.1, -1))])

"""LiteRT behind the engines' interface, and the conversion between real values and integers."""

import numpy as np
import pytest
import tensorflow as tf
from stock_files import convert

from keras_vrnn.tflite.running.engines import LiteRT, dequantize, quantize

INT8 = {"dtype": np.int8, "quantization": (0.5, 10)}
FLOAT = {"dtype": np.float32, "quantization": (0.0, 0)}
TOKENS = {"dtype": np.int32, "quantization": (0.0, 0)}


def test_rounding_is_half_to_even_and_saturates():
    real = np.array([0.25, 0.75, -1e9, 1e9, -69.0, 58.5])
    integers = quantize(real, INT8)
    assert integers.dtype == np.int8
    np.testing.assert_array_equal(integers, [10, 12, -128, 127, -128, 127])
    np.testing.assert_array_equal(dequantize(integers, INT8)[:2], [0.0, 1.0])


def test_what_is_not_quantized_is_cast():
    assert quantize(np.array([0.1]), FLOAT).dtype == np.float32
    np.testing.assert_array_equal(quantize(np.array([7.0]), TOKENS), [7])
    assert dequantize(np.array([7], np.int32), TOKENS).dtype == np.float32


def test_open_dimensions_are_resized_and_fixed_ones_are_not(tmp_path):
    engine = LiteRT(convert(tmp_path / "m", lambda x: 2.0 * x, tf.TensorSpec((None, 3), name="x")))
    (source,), (target,) = engine.inputs.values(), engine.outputs.values()
    engine.resize({source["index"]: (4, 3)})
    engine.set(source, np.ones((4, 3), np.float32))
    engine.invoke()
    np.testing.assert_array_equal(engine.get(target), np.full((4, 3), 2.0))
    with pytest.raises(ValueError, match="a shape that the interpreter takes"):
        engine.resize({source["index"]: (4, 5)})


def test_a_file_that_litert_refuses(tmp_path):
    path = convert(tmp_path / "flex.tflite", tf.tan, tf.TensorSpec((2,)), select=True)
    with pytest.raises(ValueError, match=r"must be a file that LiteRT can run. .*flex.tflite'.*FlexTan"):
        LiteRT(path)


def test_the_file_may_change_after_it_was_opened(tmp_path):
    """The bytes that were checked are run."""
    path = convert(tmp_path / "m", lambda x: 2.0 * x, tf.TensorSpec((1, 3), name="x"))
    engine = LiteRT(path)
    path.write_bytes(b"overwritten")
    (source,), (target,) = engine.inputs.values(), engine.outputs.values()
    engine.set(source, np.ones((1, 3), np.float32))
    engine.invoke()
    np.testing.assert_array_equal(engine.get(target), np.full((1, 3), 2.0))

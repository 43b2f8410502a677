"""What the README says of TensorFlow's own converter, so that a release that mends it is noticed."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import keras, numpy as np, tensorflow as tf

batch, unroll, int8 = {arguments}
model = keras.Sequential([keras.Input(batch_shape=(batch, 12, 4)), keras.layers.SimpleRNN(6, unroll=unroll)])
converter = tf.lite.TFLiteConverter.from_keras_model(model)
if int8:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.ones((1, 12, 4), "float32")] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
print("size", len(converter.convert()))
"""


def convert(batch, unroll, int8):
    program = PROGRAM.format(arguments=(batch, unroll, int8))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_open_batch_size_is_a_converter_error():
    result = convert(None, False, False)
    assert result.returncode == 1
    assert "TensorListReserve" in result.stderr


@pytest.mark.slow
def test_int8_with_a_loop_crashes_the_process():
    assert convert(1, False, True).returncode == -signal.SIGSEGV


@pytest.mark.slow
def test_int8_unrolled_converts():
    assert "size" in convert(1, True, True).stdout

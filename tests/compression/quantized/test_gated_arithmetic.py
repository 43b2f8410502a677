"""Integers of a gated step, against the kernels that the file calls; test_gated_rnn.py compares whole layers."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization import integer
from keras_vrnn.quantization.formats import INT8_MAX, INT8_MIN, Quantization

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

EVERY = np.arange(INT8_MIN, INT8_MAX + 1)
SOURCE = Quantization(0.037, -5)


class Constants:
    """What `Integers` asks of a `GatedStep`: one format, and tables that are made once."""

    def __init__(self, held):
        self.dtype, self.formats, self.made = np.dtype("int8"), {"y": held}, {}

    def once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


@pytest.mark.parametrize(
    ("name", "held", "kernel"),
    [
        ("tanh", Quantization(1 / 128, 0), integer.tanh),
        ("sigmoid", Quantization(1 / 256, -128), integer.logistic),
    ],
)
def test_tables_hold_what_the_kernels_compute(name, held, kernel):
    import tensorflow as tf

    from keras_vrnn.compression.quantized.gated_arithmetic import Integers, Value
    from keras_vrnn.compression.quantized.gated_rnn import Activation

    step = Constants(held)
    x = Value(tf.constant(EVERY[None], tf.int64), SOURCE)
    for _ in range(2):
        made = Integers(step).activate("y", Activation(getattr(keras.activations, name)), x)
    assert len(step.made) == 1
    np.testing.assert_array_equal(made.integers[0], kernel(EVERY.astype(np.int8), SOURCE))

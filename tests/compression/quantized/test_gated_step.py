"""States of a gated recurrence in training: real numbers and integers."""

import keras
import numpy as np
import pytest
from gated_models import gated_model

import keras_vrnn as kv

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")


def test_integers_and_real_numbers_stand_for_each_other():
    import tensorflow as tf

    from keras_vrnn.compression.quantized import signals

    model, x = gated_model(0, only_native=True)
    aware = kv.compression.quantize_aware(model, "int8", calibration_data=x)
    with signals.noting() as notes:
        aware(x)
    step = next(note.step for note in notes if note.step is not None)
    zeros = tf.zeros((2, step.cell.products[step.cell.projections[-1]].matrix.shape[1]))
    real, integers = step.start("h", zeros + 0.25)
    _, held = step.state_format("h")
    expected = np.float32(held.scale) * np.float32(integers.numpy() - int(held.zero_point))
    np.testing.assert_allclose(real, expected, rtol=1e-6)  # one rounding of float32

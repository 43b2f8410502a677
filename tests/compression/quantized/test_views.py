"""The windows are those of Keras' convolutions."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_vrnn.compression.quantized.views import padding, views


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("mode", "stride", "dilation"),
    [("valid", 2, 1), ("valid", 1, 2), ("same", 1, 1), ("same", 1, 3), ("same", 3, 1), ("causal", 2, 1)],
)
def test_the_windows_of_a_convolution(size, mode, stride, dilation):
    layer = layers.Conv1D(5, size, strides=stride, padding=mode, dilation_rate=dilation)
    for steps in (10, 11):
        x = keras.random.normal((2, steps, 3), seed=1)
        exact = layer(x)
        parts = views(x, padding(layer, steps, size, dilation), size, stride, dilation)
        made = sum(ops.matmul(part, w) for part, w in zip(parts, layer.get_weights()[0], strict=True))
        np.testing.assert_allclose(made, exact, atol=1e-5)  # float32 rounding


def test_padding_that_depends_on_a_varying_length_is_refused():
    layer = layers.Conv1D(5, 3, strides=2, padding="same", name="wide")
    with pytest.raises(ValueError, match=r"'wide'.*Input of fixed length"):
        padding(layer, None, 3)

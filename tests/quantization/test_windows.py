"""Windows against the positions that they read by definition."""

import numpy as np
import pytest

from keras_vrnn.quantization.windows import Window


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(
    ("size", "stride", "dilation"), [(3, 1, 1), (2, 2, 1), (3, 2, 2), (1, 3, 1), (4, 1, 2)]
)
def test_positions(size, stride, dilation, same):
    """Along one axis of ten: TensorFlow's rule for the number of results and for the padding before."""
    length, reach = 10, (size - 1) * dilation + 1
    results = -(-length // stride) if same else -(-(length - reach + 1) // stride)
    before = max((results - 1) * stride + reach - length, 0) // 2 if same else 0
    window = Window((1, size), (1, stride), (1, dilation), same)
    assert window.results((1, length)) == (1, results)
    assert window.before((1, length)) == (0, before)
    x = np.arange(length).reshape(1, 1, length, 1)
    for row, column, view in window.views(x, -1):
        positions = np.arange(results) * stride - before + column * dilation
        wanted = np.where((positions >= 0) & (positions < length), positions, -1)
        assert row == 0
        np.testing.assert_array_equal(view[0, 0, :, 0], wanted)

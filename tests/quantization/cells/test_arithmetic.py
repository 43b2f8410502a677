"""The operations of which cells are made."""

import numpy as np
import pytest

from keras_vrnn.quantization.cells.arithmetic import Arithmetic, Product


def test_an_arithmetic_has_all_operations():
    class Partial(Arithmetic):
        def times(self, name, x, y):
            return x * y

    with pytest.raises(TypeError, match="abstract"):
        Partial()


def test_a_product_may_have_no_bias():
    assert Product("h", np.eye(2)).bias is None

"""The array functions on tensors against NumPy, eagerly and under XLA."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization import arrays as xp

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tensors of TensorFlow")

RNG = np.random.default_rng(0)
WHOLE = RNG.integers(-(1 << 40), 1 << 40, 50)
OTHERS = RNG.integers(-(1 << 40), 1 << 40, 50)
SHIFTS = RNG.integers(0, 20, 50)
REAL = np.concatenate([RNG.normal(size=40) * 2.0 ** RNG.integers(-60, 60, 40), [0.5, 1.5, 2.5, -0.5, 0.0]])
POSITIVE = np.concatenate([np.abs(REAL), [1.0, 2.0**-60, 2.0**-126, 1e300, 1 - 2.0**-53]])
BITS = WHOLE > 0

CALLS = {
    "where": (BITS, WHOLE, OTHERS),
    "maximum": (WHOLE, OTHERS),
    "minimum": (WHOLE, OTHERS),
    "clip": (REAL, -0.25, 1.5),
    "round": (REAL,),
    "floor": (REAL,),
    "abs": (WHOLE,),
    "sign": (REAL,),
    "left_shift": (WHOLE, SHIFTS),
    "right_shift": (WHOLE, SHIFTS),
    "bitwise_and": (WHOLE, OTHERS),
    "logical_or": (BITS, OTHERS > 0),
    "logical_and": (BITS, OTHERS > 0),
    "frexp": (POSITIVE,),
}


def parts(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "XLA"])
@pytest.mark.parametrize("name", CALLS)
def test_elementwise_functions(name, jit):
    import tensorflow as tf

    arguments = CALLS[name]
    function = getattr(xp, name)
    run = tf.function(function, jit_compile=True) if jit else function
    made = run(*(tf.constant(a) if isinstance(a, np.ndarray) else a for a in arguments))
    for ours, expected in zip(parts(made), parts(getattr(np, name)(*arguments)), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", ["maximum", "left_shift", "bitwise_and", "where"])
def test_constants_take_the_type_of_the_tensors(name):
    import tensorflow as tf

    arguments = (BITS, WHOLE, 3) if name == "where" else (WHOLE, 3)
    tensors = [tf.constant(a) if isinstance(a, np.ndarray) else a for a in arguments]
    made = getattr(xp, name)(*tensors)
    assert made.dtype == tf.int64
    np.testing.assert_array_equal(made, getattr(np, name)(*arguments))


def test_other_functions():
    import tensorflow as tf

    matrix = RNG.normal(size=(4, 5)) * 100
    tensor = tf.constant(matrix)
    np.testing.assert_array_equal(xp.astype(tensor, np.int64), matrix.astype(np.int64))
    np.testing.assert_array_equal(xp.transpose(tensor), matrix.T)
    np.testing.assert_array_equal(xp.largest(tensor), matrix.max())
    np.testing.assert_array_equal(xp.largest(tensor, axis=1), matrix.max(axis=1))
    np.testing.assert_allclose(xp.total(tensor), matrix.sum(), rtol=1e-14)  # another order of sums
    indices = np.array([[0, 3], [2, 2]])
    np.testing.assert_array_equal(xp.take(matrix[:, 0], tf.constant(indices)), matrix[:, 0][indices])
    assert xp.size(tensor) == xp.size(matrix) == 20
    assert xp.size(3.0) == 1


def test_numbers_become_pythons_and_tensors_stay():
    import tensorflow as tf

    assert type(xp.real(np.float64(2.5))) is float
    assert type(xp.whole(np.float64(2.0))) is int
    assert xp.whole(tf.constant(2.0)).dtype == tf.int64
    assert xp.narrow(np.array([1, 2]), np.int8).dtype == np.int8
    assert xp.narrow(tf.constant([1, 2], tf.int64), np.int8).dtype == tf.int64

"""The array functions that the integer step needs, on NumPy arrays and on TensorFlow tensors.

A device and the simulator compute on NumPy arrays; quantization-aware training computes the same functions inside its
TensorFlow graph. So the integer step is stated once. Functions have NumPy's names and meaning. TensorFlow is used
only where an argument is one of its tensors, and never imported here.
"""

import sys

import numpy as np


def _tensorflow(*arguments):
    """Returns TensorFlow if an argument is one of its tensors, else None."""
    tf = sys.modules.get("tensorflow")
    return tf if tf is not None and any(isinstance(x, tf.Tensor) for x in arguments) else None


def _elementwise(name, tensor_function):
    plain = getattr(np, name)

    def function(*arguments):
        tf = _tensorflow(*arguments)
        if tf is None:
            return plain(*arguments)
        numbers = (x.dtype for x in arguments if isinstance(x, tf.Tensor) and x.dtype != tf.bool)
        dtype = next(numbers, None)
        return tensor_function(tf, *(_like(tf, x, dtype) for x in arguments))

    function.__name__ = name
    function.__doc__ = f"As `numpy.{name}`."
    return function


def _like(tf, x, dtype):
    """A tensor as it is, a constant in the type of the tensors beside it."""
    if isinstance(x, tf.Tensor):
        return x
    x = np.asarray(x)
    return tf.constant(x, x.dtype if dtype is None or x.dtype == bool else dtype)


where = _elementwise("where", lambda tf, *a: tf.where(*a))
maximum = _elementwise("maximum", lambda tf, *a: tf.maximum(*a))
minimum = _elementwise("minimum", lambda tf, *a: tf.minimum(*a))
clip = _elementwise("clip", lambda tf, *a: tf.clip_by_value(*a))
round = _elementwise("round", lambda tf, x: tf.round(x))
floor = _elementwise("floor", lambda tf, x: tf.floor(x))
abs = _elementwise("abs", lambda tf, x: tf.abs(x))
sign = _elementwise("sign", lambda tf, x: tf.sign(x))
left_shift = _elementwise("left_shift", lambda tf, *a: tf.bitwise.left_shift(*a))
right_shift = _elementwise("right_shift", lambda tf, *a: tf.bitwise.right_shift(*a))
bitwise_and = _elementwise("bitwise_and", lambda tf, *a: tf.bitwise.bitwise_and(*a))
logical_or = _elementwise("logical_or", lambda tf, *a: tf.logical_or(*a))
logical_and = _elementwise("logical_and", lambda tf, *a: tf.logical_and(*a))
frexp = _elementwise("frexp", lambda tf, x: _frexp(tf, x))


def astype(x, dtype):
    """x.astype(dtype)"""
    tf = _tensorflow(x)
    return np.asarray(x).astype(dtype) if tf is None else tf.cast(x, np.dtype(dtype).name)


def real(x):
    """A number as a Python float, a tensor as it is."""
    return x if _tensorflow(x) is not None else float(x)


def whole(x):
    """A number as a Python integer, a tensor as int64."""
    return astype(x, np.int64) if _tensorflow(x) is not None else int(x)


def narrow(x, dtype):
    """x.astype(dtype) of integers in its range; tensors stay int64, which XLA computes fastest."""
    return x if _tensorflow(x) is not None else np.asarray(x).astype(dtype)


def take(table, indices):
    """table[indices]"""
    tf = _tensorflow(table, indices)
    return np.asarray(table)[indices] if tf is None else tf.gather(table, indices)


def transpose(matrix):
    """matrix.T"""
    tf = _tensorflow(matrix)
    return np.transpose(matrix) if tf is None else tf.transpose(matrix)


def largest(x, axis=None, keepdims=False):
    """x.max(axis)"""
    tf = _tensorflow(x)
    return (np.max if tf is None else tf.reduce_max)(x, axis=axis, keepdims=keepdims)


def total(x, axis=None, keepdims=False):
    """x.sum(axis)"""
    tf = _tensorflow(x)
    return (np.sum if tf is None else tf.reduce_sum)(x, axis=axis, keepdims=keepdims)


def concatenate(parts, axis):
    """numpy.concatenate"""
    tf = _tensorflow(*parts)
    return np.concatenate(parts, axis) if tf is None else tf.concat(parts, axis)


def size(x):
    """The number of elements."""
    return int(np.prod(x.shape)) if hasattr(x, "shape") else 1


def _frexp(tf, x):
    """Of positive normal float64 numbers and zero, by their bits: frexp is no TensorFlow function."""
    bits = tf.bitcast(x, tf.int64)
    exponent = tf.bitwise.right_shift(bits, tf.constant(52, tf.int64)) - 1022
    mantissa = tf.bitwise.bitwise_or(
        tf.bitwise.bitwise_and(bits, tf.constant((1 << 52) - 1, tf.int64)), tf.constant(1022 << 52, tf.int64)
    )
    zero = tf.equal(x, 0)
    return tf.where(zero, tf.zeros_like(x), tf.bitcast(mantissa, tf.float64)), tf.where(
        zero, tf.zeros_like(exponent), exponent
    )

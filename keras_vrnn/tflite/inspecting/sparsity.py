"""The share of exact zeros in the constants of a `.tflite` file."""

import math

import numpy as np

from keras_vrnn.tflite.reading import ITEM_SIZES, PACKED_BITS, TYPE_NAMES, indices


def zeros(content, model, tensor):
    """Returns the share of a constant's values that are exactly zero.

    Args:
        content: bytes of the file.
        model: its `ModelT`.
        tensor: a `TensorT` of it.

    Returns:
        A share in [0, 1]; None for a tensor that is computed, and for types other than real numbers.
    """
    data = _data(content, model.buffers[tensor.buffer])
    shape = indices(tensor.shape)
    count = math.prod(shape)
    if not data or not count:
        return None
    bits = _bits(data, tensor.type)
    if bits is None:
        return None
    zero_points = _zero_points(tensor)
    if tensor.sparsity is not None:
        # The file leaves zeros out, and pads blocks with some; one zero point of 0 is all that kernels take.
        return 1.0 - np.count_nonzero(bits) / count if not any(zero_points) else None
    expected = np.array(zero_points)
    if len(expected) > 1:
        axis = int(tensor.quantization.quantizedDimension)
        expected = expected.reshape([-1 if n == axis else 1 for n in range(len(shape))])
    # Both sides as unsigned integers of the same width: a negative zero point wraps around as the values do.
    expected = expected.astype(np.int64).astype(bits.dtype) & _mask(tensor.type, bits.dtype)
    return float(np.mean(bits[:count].reshape(shape) == expected))


def _data(content, buffer):
    if buffer.data is not None:
        return bytes(buffer.data)
    return content[buffer.offset : buffer.offset + buffer.size]


def _bits(data, kind):
    """The values as unsigned integers, in which zero is 0; None for types that are not real numbers."""
    width = PACKED_BITS.get(TYPE_NAMES[kind])
    if width:
        shifts = np.arange(0, 8, width, dtype=np.uint8)
        return (np.frombuffer(data, np.uint8)[:, None] >> shifts & (1 << width) - 1).ravel()
    if kind not in ITEM_SIZES:
        return None
    bits = np.frombuffer(data, f"<u{ITEM_SIZES[kind]}")
    if "FLOAT" in TYPE_NAMES[kind]:
        bits = bits << 1  # without the sign, as -0.0 is zero too
    return bits


def _mask(kind, dtype):
    width = PACKED_BITS.get(TYPE_NAMES[kind], 8 * dtype.itemsize)
    return dtype.type((1 << width) - 1)


def _zero_points(tensor):
    quantization = tensor.quantization
    integer = "INT" in TYPE_NAMES[tensor.type]
    if not integer or quantization is None or quantization.scale is None:
        return [0]
    return indices(quantization.zeroPoint) or [0]

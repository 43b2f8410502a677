"""SOFTMAX: the constants that its kernels read; the exponentials of int8 are a table over differences."""

import numpy as np

from keras_vrnn.firmware.buffers import Unsupported, new
from keras_vrnn.firmware.nodes import Softmax
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization import softmax as arithmetic
from keras_vrnn.quantization.integer import f32

# Beyond, the kernel of int8 shifts by more than 31 bits, where C leaves the result open.
_MOST_INT8 = 511
# Sums of int16 exponentials have 32 bits.
_MOST_INT16 = 65535


def softmax(tracer, graph, operator, x):
    """SOFTMAX over the last axis."""
    view, source, beta = tracer.view(x), graph.formats[operator.inputs[0]], operator.options.beta
    width, most = view.shape[-1], _MOST_INT8 if view.dtype == np.int8 else _MOST_INT16
    if source is None or width > most:
        raise Unsupported(f"computes SOFTMAX over {width} values, of which it can have {most}")
    if view.dtype == np.int8:
        table = exponentials(source, beta)
        kernel, constants, numbers = "softmax8", [table], [len(table)]
    else:
        mantissa, exponent = fixed.factor(f32(source.scale) * float(np.float32(beta)) / (10.0 / 65535.0))
        kernel, constants = "softmax16", [arithmetic.EXP_TABLE, arithmetic.INVERSE_TABLE]
        constants, numbers = [t.astype(np.int16) for t in constants], [int(mantissa), int(exponent)]
        if 65535 << max(int(exponent), 0) > fixed.INT32_MAX:
            raise Unsupported("computes SOFTMAX of integers that overflow 32 bits")
    result = new(view.shape, view.dtype)
    buffers = [tracer.constant(constant).buffer for constant in constants]
    tracer.add(Softmax(result.buffer, view, width, kernel, buffers, numbers))
    return result


def exponentials(source, beta):
    """Returns exp(−d) for d = 0, 1 … as the kernel adds them; the rest up to d = 255 are zero."""
    pairs = np.stack([np.full(256, 127), 127 - np.arange(256)], axis=1).astype(np.int8)
    made = arithmetic.exponentials(pairs, source, beta)[:, 1].astype(np.int32)
    return made[: np.flatnonzero(made).max() + 1]

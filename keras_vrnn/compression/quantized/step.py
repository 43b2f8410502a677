"""The integer step of a vanilla recurrence inside a TensorFlow graph, as the exported file computes it.

    z = x·W_x + b        r = h·W_h        a = z + r        h = φ(a)

Integers travel as floats without their zero points: the products of float32 are exact up to 2²⁴, those of float64 up to
2⁵³. What is brought to another scale is int64 for that moment.
"""

from typing import ClassVar

import numpy as np
import tensorflow as tf

from keras_vrnn.quantization import fixed_point, integer, vanilla
from keras_vrnn.quantization.formats import INT8_MIN, Quantization, short

_EXACT = 1 << 24  # the integers that float32 holds
_LARGEST_PRODUCT = 255 * 127  # of an int8 signal, or half an int16 signal, and a weight


class Step:
    """The weights, formats and factors of one layer; its methods compute any number of steps.

    Args:
        scheme: the quantization scheme.
        x: the format of x.
        ranges: signal -> (low, high), float64 tensors.
        weights: W_h, W_x and perhaps b, float32 tensors.
        activation: φ, a function of tensors.
        name: its name in `quantization.vanilla`.

    Attributes:
        formats: signal -> format.
        products: product -> its weights and its bias or None, as the file holds them.
        states, kept, constants: as in `GatedStep`.
    """

    states: ClassVar[tuple[str, ...]] = ("h",)
    kept: ClassVar[dict] = {}
    constants: ClassVar[dict] = {}

    def __init__(self, scheme, x, ranges, weights, activation, name):
        recurrent_kernel, kernel, *bias = map(tf.convert_to_tensor, weights)
        self.scheme, self.activation, self.name = scheme, activation, name
        self.x = x
        self.formats = vanilla.formats(scheme, ranges, x, kernel, recurrent_kernel, name)
        self.formats["h"] = short(self.formats["h"], scheme.dtype)  # other layers read it
        self.z, self.r, self.a, self.h = (self.formats[signal] for signal in "zrah")
        # The file has a bias in any case.
        bias = bias[0] if bias else tf.zeros(kernel.shape[1])
        self.kernel, self.bias = scheme.product(kernel, bias, x, self.z)
        self.recurrent_kernel, _ = scheme.product(recurrent_kernel, None, self.h, self.r)
        self.products = {"z": (self.kernel, self.bias), "r": (self.recurrent_kernel, None)}
        self._addition = integer.Addition.of(self.z, self.r, self.a_or_h, scheme.dtype)
        self._z_factor = fixed_point.factor(
            integer.product_factors(x, self.kernel.quantization, self.z, single=True)
        )
        self._r_factor = fixed_point.factor(
            integer.product_factors(self.h, self.recurrent_kernel.quantization, self.r, single=True)
        )
        self._kernels = [
            tf.cast(tf.transpose(stored.array), tf.float32) for stored in (self.kernel, self.recurrent_kernel)
        ]
        self._table = None if name in vanilla.FUSED or scheme.dtype != np.int8 else self._values()

    @property
    def a_or_h(self):
        """The format that the addition makes."""
        return self.h if self.name in vanilla.FUSED else self.a

    def real_weights(self):
        """Returns W_h and W_x as the file holds them, as float32."""
        return [
            tf.transpose(_real(stored.array, stored.quantization))
            for stored in (self.recurrent_kernel, self.kernel)
        ]

    def centred(self, real, quantization):
        """Returns the integers of real numbers without the zero point, as float32."""
        return tf.round(real / tf.cast(quantization.scale, tf.float32))

    def project(self, x, mask=None):
        """Returns the term z of the addition for all steps, int64, and the real z before it is clipped.

        Args:
            x: real numbers in the format of x, (batch, time, features).
            mask: the dropout mask of x, or None.
        """
        sums = self._product(self.centred(x, self.x), mask, 0)
        whole = tf.cast(sums, tf.int64) + tf.cast(self.bias.array, tf.int64)
        z = integer.rescaled(whole, self._z_factor, self.z, self.scheme.dtype, self._is_long)
        real = tf.cast(whole, tf.float32) * tf.cast(self.bias.quantization.scale, tf.float32)
        # int32 would do, but on AVX-512 XLA's loops that narrow int64 write past the end of their buffer, into another.
        return self._addition.term(z, 0), real

    def __call__(self, z, h, mask=None):
        """One step.

        Args:
            z: the term of `project` at this step.
            h: h_{t-1} without its zero point, (batch, units), float32.
            mask: the recurrent dropout mask, or None.

        Returns:
            h_t in the same form, and the sums of products, from which `real_r` takes r.
        """
        sums = self._product(h, mask, 1)
        r = integer.rescaled(
            tf.cast(sums, tf.int64), self._r_factor, self.r, self.scheme.dtype, self._is_long
        )
        fused = vanilla.FUSED.get(self.name)
        a = self._addition.total(z, self._addition.term(r, 1), fused)
        return tf.cast(self._activated(a) - self.h.zero_point, tf.float32), tf.cast(sums, tf.float32)

    def real_r(self, sums):
        """Returns the real r of sums of products, before it is clipped to its format."""
        return sums * tf.cast(self.h.scale * self.recurrent_kernel.quantization.scale, tf.float32)

    def real(self, h):
        """Returns the real numbers of states without their zero points."""
        return h * tf.cast(self.h.scale, tf.float32)

    @property
    def _is_long(self):
        return self.scheme.dtype == np.int16

    def _product(self, centred, mask, which):
        centred = centred if mask is None else centred * mask
        sums = exact_product(centred, self._kernels[which], self.scheme.dtype)
        return sums if mask is None else tf.round(sums)  # a dropout mask makes fractions

    def _activated(self, a):
        if self.name in vanilla.FUSED:
            return a
        if self._table is not None:
            return tf.gather(self._table, a - INT8_MIN)
        return {"tanh": integer.tanh, "sigmoid": integer.logistic}[self.name](a, self.a, np.int16)

    def _values(self):
        """φ of all int8 numbers."""
        every = tf.range(INT8_MIN, -INT8_MIN, dtype=tf.int64)
        if self.name == "tanh":
            return integer.tanh(every, self.a, np.int8)
        if self.name == "sigmoid":
            return integer.logistic(every, self.a, np.int8)
        real = self.activation(
            tf.cast(tf.cast(every - self.a.zero_point, tf.float64) * self.a.scale, tf.float32)
        )
        rounded = tf.round(real / tf.cast(self.h.scale, tf.float32))
        return integer.clamp(tf.cast(rounded, tf.int64) + self.h.zero_point, self.h, np.int8)


def _real(integers, quantization: Quantization):
    scale, shifted = quantization.scale, integers - quantization.zero_point
    if quantization.axis == 0:
        scale = scale[:, None]
    return tf.cast(tf.cast(shifted, tf.float64) * scale, tf.float32)


def exact_product(centred, integers, dtype):
    """Returns the products of integers exactly, as float32 or float64.

    Args:
        centred: int8 or int16 signals without their zero points, float32, (..., inputs).
        integers: weights, float32, (inputs, outputs).
        dtype: int8 or int16.
    """
    if integers.shape[0] * _LARGEST_PRODUCT > _EXACT:
        return tf.matmul(tf.cast(centred, tf.float64), tf.cast(integers, tf.float64))
    if dtype == np.int8:
        return tf.matmul(centred, integers)
    # In two halves, which takes XLA a third of the time of float64.
    high = tf.floor(centred / 256)
    high, low = tf.split(tf.matmul(tf.concat([high, centred - 256 * high], axis=0), integers), 2, axis=0)
    return 256 * tf.cast(high, tf.float64) + tf.cast(low, tf.float64)

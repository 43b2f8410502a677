"""Integer expressions of one element of a tensor, with the bounds of their values.

A term becomes one C statement. Its bounds settle which form of the arithmetic is exact: a product of a number below
2^30 and a mantissa takes one instruction of a processor that has SMMULR, a rounding shift needs no wider type.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_vrnn.firmware.buffers import Unsupported, View
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.integer import f32

INT32 = (fixed.INT32_MIN, fixed.INT32_MAX)


@dataclass(eq=False)
class Term:
    """One operation on other terms.

    Attributes:
        form: its C expression; {0}, {1} … stand for the parts.
        parts: the terms that it reads.
        low, high: the least and the largest value that it can take.
        needs: names of the C functions that it calls.
        constants: name in the form -> buffer of a constant that it reads.
    """

    form: str
    parts: tuple = ()
    low: int = INT32[0]
    high: int = INT32[1]
    needs: tuple = ()
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def largest(self):
        """The largest magnitude of its values."""
        return max(abs(self.low), abs(self.high))


@dataclass(eq=False)
class Read(Term):
    """A value of a view: element i ("same"), the row's ("row"), the column's ("column") or the only one ("one")."""

    view: View | None = None
    pattern: str = "same"


@dataclass(eq=False)
class Sum(Term):
    """The sum of products of a `Product` at a column."""

    product: Any = None


def read(view, pattern="same"):
    """Returns a value of a view."""
    low, high = (0, 1) if view.dtype == np.bool_ else (np.iinfo(view.dtype).min, np.iinfo(view.dtype).max)
    return Read("", (), int(low), int(high), view=view, pattern=pattern)


def number(value):
    """Returns a constant."""
    return Term(f"({int(value)})", (), int(value), int(value))


def plus(x, value):
    """Returns x + a constant."""
    value = int(value)
    if value == 0:
        return x
    sign = "+" if value > 0 else "-"
    return Term(f"{{0}} {sign} {abs(value)}", (x,), *inside(x.low + value, x.high + value))


def times(x, value):
    """Returns x · a positive constant."""
    return x if value == 1 else Term(f"{{0}} * {value}", (x,), *inside(x.low * value, x.high * value))


def clamped(x, limits):
    """Returns x kept between two limits."""
    low, high = limits
    if low <= x.low and x.high <= high:
        return x
    bits = {(-128, 127): 8, (-32768, 32767): 16}.get(limits)
    if bits:
        return Term(f"saturated{bits}({{0}})", (x,), low, high, (f"saturated{bits}",))
    return Term(f"clamped({{0}}, {low}, {high})", (x,), low, high, ("clamped",))


def limits_of(target, dtype, activation=None):
    """Returns the least and the largest integer of a format, within a fused activation."""
    ends = np.iinfo(dtype)
    clamped = integer.clamp(np.array([ends.min, ends.max], np.int64), target, dtype, activation)
    return int(clamped[0]), int(clamped[1])


def rounded(x, shift):
    """Returns x / 2^shift, rounded half away from zero, as `fixed_point.divide_by_power`."""
    if shift == 0:
        return x
    name = "rounded" if x.largest + (1 << (shift - 1)) < INT32[1] else "rounded_wide"
    low, high = (int(fixed.divide_by_power(end, shift)) for end in (x.low, x.high))
    return Term(f"{name}({{0}}, {shift})", (x,), low, high, (name,))


def scaled(x, mantissa, exponent):
    """Returns x · mantissa · 2^(exponent − 31), as `fixed_point.scale`."""
    mantissa, exponent = int(mantissa), int(exponent)
    if exponent > 0:
        if x.largest << exponent <= INT32[1]:
            x = times(x, 1 << exponent)
        else:
            x = Term(f"shifted({{0}}, {exponent})", (x,), *INT32, ("shifted",))
    name = "high_near" if x.largest < 1 << 30 else "high"
    low, high = (int(fixed.multiply_high(end, mantissa)) for end in (x.low, x.high))
    product = Term(f"{name}({{0}}, {mantissa})", (x,), low, high, (name,))
    return rounded(product, max(-exponent, 0))


def scaled_long(x, mantissa, exponent):
    """Returns the same with a mantissa of 15 bits, as `fixed_point.scale_long`."""
    mantissa, exponent = int(mantissa), int(exponent)
    short = (mantissa + (1 << 15)) >> 16 if mantissa < 0x7FFF0000 else 0x7FFF
    shift = 15 - exponent
    if not 1 <= shift <= 62:
        raise Unsupported("multiplies sums of int16 by more than 2^14")
    low, high = ((end * short + (1 << (shift - 1))) >> shift for end in (x.low, x.high))
    inside(low, high)
    return Term(f"scaled_long({{0}}, {short}, {shift})", (x,), low, high, ("scaled_long",))


def scaled_by_column(x, mantissas, exponents, read_column):
    """Returns `scaled` with a factor for each column.

    Args:
        x: the term, whose values times 2^exponent never overflow or wrap around as in the kernel.
        mantissas, exponents: integers, one per column.
        read_column: int array -> the term that reads it at a column.
    """
    mantissa = read_column(mantissas.astype(np.int32))
    if exponents.max() < 0 and x.largest < 1 << 30:
        product = Term("high_near({0}, {1})", (x, mantissa), -x.largest, x.largest, ("high_near",))
        if len(set(exponents.tolist())) == 1:
            return rounded(product, -int(exponents[0]))
        # The shift less one: (y + 2^(n − 1)) >> n = ((y >> (n − 1)) + 1) >> 1.
        return Term(
            "halved({0}, {1})", (product, read_column((-exponents - 1).astype(np.int8))), *INT32, ("halved",)
        )
    exponent = read_column(exponents.astype(np.int8))
    return Term("scaled({0}, {1}, {2})", (x, mantissa, exponent), *INT32, ("scaled",))


def scaled_long_by_column(x, multipliers, shifts, read_column):
    """Returns `scaled_long` with a factor for each column; arguments as for `scaled_by_column`."""
    columns = read_column(multipliers.astype(np.int32)), read_column(shifts.astype(np.int8))
    return Term("scaled_long({0}, {1}, {2})", (x, *columns), *INT32, ("scaled_long",))


# Operators of TFLite Micro


def plain(name, x, y):
    """ADD, SUB and MUL of int32 numbers; overflow wraps around, as in the kernels on processors."""
    sign = {"ADD": "+", "SUB": "-", "MUL": "*"}[name]
    combine = {"ADD": int.__add__, "SUB": int.__sub__, "MUL": int.__mul__}[name]
    corners = [combine(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]
    if INT32[0] <= min(corners) and max(corners) <= INT32[1]:
        return Term(f"{{0}} {sign} {{1}}", (x, y), min(corners), max(corners))
    return Term(f"(int32_t)((uint32_t){{0}} {sign} (uint32_t){{1}})", (x, y))


def add(x, y, formats, dtype, limits, minus=False):
    """ADD and SUB; see `integer.Addition`."""
    x_format, y_format, target = formats
    addition = integer.Addition.of(x_format, y_format, target, dtype)
    left = addition._left(dtype)
    one, other = (
        _addend(plus(term, -form.zero_point), left, *factor)
        for term, form, factor in zip((x, y), formats[:2], addition.factors[:2], strict=True)
    )
    sign = "-" if minus else "+"
    ends = (other.high, other.low) if minus else (other.low, other.high)
    if minus:
        low, high = one.low - ends[0], one.high - ends[1]
    else:
        low, high = one.low + ends[0], one.high + ends[1]
    total = Term(f"{{0}} {sign} {{1}}", (one, other), *inside(low, high))
    return _finished(scaled(total, *addition.factors[2]), formats[2], limits)


def _addend(x, left, mantissa, exponent):
    """x · 2^left · the factor."""
    power = left - 1 + int(exponent)
    if mantissa == 1 << 30 and 0 <= power < left:  # the larger scale: a shift without remainder
        return times(x, 1 << power)
    return scaled(times(x, 1 << left), mantissa, exponent)


def mul(x, y, formats, limits):
    """MUL of two values."""
    one, other = (plus(term, -form.zero_point) for term, form in zip((x, y), formats[:2], strict=True))
    corners = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    product = Term("{0} * {1}", (one, other), *inside(min(corners), max(corners)))
    factor = fixed.factor(f32(formats[0].scale) * f32(formats[1].scale) / f32(formats[2].scale))
    return _finished(scaled(product, *factor), formats[2], limits)


def rescaled(x, source, target, limits):
    """QUANTIZE and RELU."""
    factor = fixed.factor(f32(source.scale) / f32(target.scale))
    return _finished(scaled(plus(x, -source.zero_point), *factor), target, limits)


def from_table(x, constant, low):
    """A function of a value of few bits, from the table of its results."""
    array = constant.buffer.array
    read_at = "{0}" if low == 0 else f"{{0}} + {-low}"
    return Term(
        f"[table][{read_at}]", (x,), int(array.min()), int(array.max()), (), {"[table]": constant.buffer}
    )


def curve(name, x, source):
    """TANH and LOGISTIC of int16."""
    multiplier, shift = (int(n) for n in integer.table_factor(source, (0, 1) if name == "TANH" else (0,)))
    half = (1 << shift) >> 1
    inside(x.low * multiplier + half, x.high * multiplier + half)
    data = Term(f"({{0}} * {multiplier} + {half}) >> {shift}", (x,))
    function = {"TANH": "tanh16", "LOGISTIC": "logistic16"}[name]
    return Term(f"{function}({{0}})", (data,), -32768, 32767, (function,))


def _finished(x, target, limits):
    return clamped(plus(x, target.zero_point), limits)


def inside(low, high):
    """Returns bounds, which must be int32."""
    if low < INT32[0] or high > INT32[1]:
        raise Unsupported(f"computes integers from {low} to {high}, which overflow 32 bits")
    return low, high

"""The gradients of a gated cell whose values are integers.

    forward     the integers of the states, step by step (`gated_arithmetic`)
    values      the step in real numbers from the integers before it, all steps at once, with each signal rounded
    backward    a loop that carries ∂L/∂states through the steps; the gradients of inputs and weights are those of
                `values`: one product of matrices each

Rounding counts as the identity within the range of a format (Bengio et al. 2013, section 4).
"""

import tensorflow as tf

from keras_vrnn.compression.quantized.gated_arithmetic import Kept
from keras_vrnn.layers.block import given
from keras_vrnn.layers.scan import scan
from keras_vrnn.quantization import integer
from keras_vrnn.quantization.cells import states as rules
from keras_vrnn.quantization.cells.arithmetic import Arithmetic

READ = "/read"  # after the name of a state: what is read of it


class Reals(Arithmetic):
    """Computes with real numbers, float32, and `Kept` states; of all steps at once, which finds values and slopes.

    Args:
        step: the `GatedStep`.
        masks: operand -> dropout mask.

    Attributes:
        values: signal -> its numbers, rounded and clipped to its format.
        slopes: signal -> the factor of its gradient; True and False for 1 and 0, in a quarter of the memory.
        measured: signal -> its numbers before.
    """

    def __init__(self, step, masks=None):
        self._step, self._masks = step, masks or {}
        self.values, self.slopes, self.measured = {}, {}, {}

    def product(self, name, x):
        weights = self._step.weights[name]
        mask = self._masks.get(self._step.cell.products[name].operand)
        x = x if mask is None else x * mask
        rows = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), weights.real)  # one product for all steps
        made = tf.reshape(rows, tf.concat([tf.shape(x)[:-1], [rows.shape[-1]]], 0))
        return self._made(name, made + weights.real_bias)

    def activated(self, name, total, function, x, y):
        a = x + y
        if function.is_fused:
            self.measured[total] = a
            return self._made(name, a, function)
        return self.activate(name, function, self._made(total, a))

    def activate(self, name, function, x):
        if function.name != "linear":
            return self._made(name, x, function)
        self.measured[name] = x
        return x

    def times(self, name, x, y):
        return self._made(name, x * y)

    def split(self, x, parts):
        return tf.split(x, parts, -1)

    def read(self, name, state):
        step = self._step
        if name == state.name and step.state_format(name) == (step.dtype, step.formats[name]):
            return state.value
        return self._made(name + READ if name == state.name else name, state.value)

    def keep(self, state, x):
        return Kept(state, x)

    def blend(self, state, h, new, gate, opens):
        signal = self.read(state, h)
        if self._is_int16:
            start, end = (signal, new) if opens else (new, signal)
            change = self._made(state + rules.CHANGE, end - start)
            return self._new(state, start + self.times(state + rules.KEPT, gate, change))
        return self._new(state, h.value + (gate if opens else 1.0 - gate) * (new - signal))

    def accumulate(self, state, c, forget, enter, new):
        if self._is_int16:
            kept = self.times(state + rules.KEPT, forget, self.read(state, c))
            return self._new(state, kept + self.times(state + rules.ADDED, enter, new))
        return self._new(state, forget * c.value + enter * new)

    def leak(self, state, h, new, alpha, beta):
        signal = self.read(state, h)
        if self._is_int16:
            added = self.times(state + rules.ADDED, new, alpha)
            return self._new(state, added + self.times(state + rules.KEPT, signal, beta))
        return self._new(state, h.value + alpha * new - (1.0 - beta) * signal)

    @property
    def _is_int16(self):
        return self._step.dtype.itemsize == 2

    def _new(self, state, real):
        """Returns a new state, which with int16 signals is a signal."""
        if self._is_int16:
            return Kept(state, self._made(state, real))
        self.measured[state] = real
        return Kept(state, real)

    def _made(self, name, real, function=None):
        """Returns a signal: φ of real numbers, rounded."""
        number, slope = (tf.stop_gradient(real), None) if function is None else _with_slope(function, real)
        held = self._step.formats[name.removesuffix(READ)]
        low, high = (tf.cast(end, tf.float32) for end in integer.real_ends(held, self._step.dtype))
        scale = tf.cast(held.scale, tf.float32)
        self.measured[name] = number
        self.values[name] = tf.clip_by_value(scale * tf.round(number / scale), low, high)
        inside = tf.logical_and(number >= low, number <= high)
        self.slopes[name] = inside if slope is None else slope * tf.cast(inside, tf.float32)
        return routed(real, self.values[name], self.slopes[name])


class Slopes(Reals):
    """The same of one step whose values and slopes are known.

    Args:
        step, masks: as for `Reals`.
        values, slopes: as of `Reals`.
    """

    def __init__(self, step, masks, values, slopes):
        super().__init__(step, masks)
        self.values, self.slopes = values, slopes

    def _made(self, name, real, function=None):
        return routed(real, self.values[name], self.slopes[name])


def _with_slope(function, x):
    x = tf.stop_gradient(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = function(x)
    return made, tape.gradient(made, x, unconnected_gradients="zero")


def routed(real, value, slope):
    """Returns `value` with `slope` times the gradient of `real`."""

    @tf.custom_gradient
    def route(_):
        return tf.identity(value), lambda upstream: upstream * tf.cast(slope, upstream.dtype)

    return route(real)


def through_time(step, start, before, reals, new, mask, masks, loop):
    """Returns the new states of all steps as they are, with gradients that come from all later steps too.

    Args:
        step: the `GatedStep`.
        start: the first states, real numbers.
        before: the states before each step, time-major.
        reals: the `Reals` that made the new ones of them.
        new: the new states.
        mask: (time, batch, 1), False where the states stay as they are; or None.
        masks: operand -> dropout mask.
        loop: arguments of `scan`.
    """
    count, names = len(start), tuple(reals.slopes)
    values, slopes = ([each[name] for name in names] for each in (reals.values, reals.slopes))

    def gradient(*upstream):
        def back(d_states, inputs):
            d_new, last, *known = (inputs[i : i + n] for i, n in spans)
            d_new = tuple(a + b for a, b in zip(d_states, d_new, strict=True))
            here = Slopes(step, masks, *(dict(zip(names, each, strict=True)) for each in known[:2]))
            with tf.GradientTape() as tape:
                tape.watch(last)
                made = one_step(step, here, last, *known[2])
            return tuple(tape.gradient(made, last, d_new, unconnected_gradients="zero")), d_new

        groups = upstream, before, values, slopes, given(mask)
        spans, position = [], 0
        for group in groups:
            spans.append((position, len(group)))
            position += len(group)
        backwards = {**loop, "reverse": not loop["reverse"], "like": tuple(start)}
        zeros = tuple(map(tf.zeros_like, start))
        d_start, d_new = scan(back, zeros, [each for group in groups for each in group], **backwards)
        return *d_start, *d_new

    @tf.custom_gradient
    def connect(*states):
        return tuple(map(tf.identity, states[count:])), gradient

    return connect(*start, *new)


def one_step(step, on, states, mask=None, z=None):
    """Returns the new states, real numbers; z may be missing where its gradient is not asked for."""
    cell = step.cell
    z = (0.0,) * len(cell.projections) if z is None else z
    kept = tuple(Kept(name, state) for name, state in zip(cell.states, states, strict=True))
    new = [state.value for state in cell.equations(on, z, kept)]
    if mask is None:
        return new
    return [tf.where(mask, made, old) for made, old in zip(new, states, strict=True)]

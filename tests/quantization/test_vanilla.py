"""The formats of the vanilla recurrence, and its integer arithmetic on tensors against NumPy."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization import fixed_point, integer, vanilla
from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.quantization.schemes import SCHEMES

on_tensors = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tensors of TensorFlow")
RANGES = {"z": (-3.0, 2.5), "r": (-0.7, 1.1), "a": (-3.2, 3.0), "h": (-0.9, 1.0)}
SCHEME_NAMES = ("int8", "int8x4", "int16x8")
EVERY = {"int8": np.arange(-128, 128), "int16": np.arange(-32768, 32768)}


def weights(seed=0, features=3, units=5):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=s).astype("float32") for s in ((features, units), (units, units)))


def both(function):
    """Runs a function of TensorFlow eagerly and under XLA."""
    import tensorflow as tf

    return function(), tf.function(function, jit_compile=True)()


def tensors(quantization):
    import tensorflow as tf

    return Quantization(
        tf.constant(quantization.scale, tf.float64), tf.constant(quantization.zero_point, tf.int64)
    )


@pytest.mark.parametrize("scheme", SCHEME_NAMES)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "relu6", "hard_tanh", "linear", "table"])
def test_each_signal_fits_its_format(scheme, activation):
    scheme = SCHEMES[scheme]
    kernel, recurrent = weights()
    formats = vanilla.formats(scheme, RANGES, scheme.format(-2, 2), kernel, recurrent, activation)
    assert sorted(formats) == ["a", "h", "r", "z"]
    saturation = scheme.saturation(activation)
    for name in "zr":
        low, high = span(formats[name], scheme.dtype)
        other = RANGES["r" if name == "z" else "z"]
        step = formats[name].scale
        assert low <= max(RANGES[name][0], saturation[0] - other[1]) + step
        assert high >= min(RANGES[name][1], saturation[1] - other[0]) - step
    fixed = scheme.output_format(activation)
    if fixed is not None:
        assert formats["h"] == fixed


@on_tensors
@pytest.mark.parametrize("scheme", SCHEME_NAMES)
@pytest.mark.parametrize("activation", ["tanh", "relu", "relu6", "table"])
def test_formats_of_tensors_are_those_of_numbers(scheme, activation):
    import tensorflow as tf

    scheme = SCHEMES[scheme]
    kernel, recurrent = weights()
    x = scheme.format(-2.0, 2.0)
    expected = vanilla.formats(scheme, RANGES, x, kernel, recurrent, activation)
    ranges = {name: tuple(tf.constant(end, tf.float64) for end in ends) for name, ends in RANGES.items()}

    def run():
        made = vanilla.formats(
            scheme, ranges, tensors(x), tf.constant(kernel), tf.constant(recurrent), activation
        )
        return {name: (form.scale, form.zero_point) for name, form in made.items()}

    for made in both(run):
        for name, form in expected.items():
            # Sums of a matrix in another order may differ in the last bit of float64.
            np.testing.assert_allclose(made[name][0], form.scale, rtol=1e-15)
            assert int(made[name][1]) == form.zero_point


@on_tensors
@pytest.mark.parametrize("scheme", SCHEME_NAMES)
def test_stored_weights_of_tensors_are_those_of_numbers(scheme):
    import tensorflow as tf

    scheme = SCHEMES[scheme]
    kernel, bias = (
        np.random.default_rng(1).normal(size=(7, 5)).astype("float32"),
        np.arange(5.0, dtype="float32"),
    )
    kernel[kernel > 1] = 0
    x, result = scheme.format(-2.0, 2.0), scheme.format(-6.0, 6.0)
    expected = scheme.product(kernel, bias, x, result)

    def run():
        made = scheme.product(tf.constant(kernel), tf.constant(bias), tensors(x), tensors(result))
        return [(stored.array, stored.quantization.scale) for stored in made]

    for made in both(run):
        for (array, scale), stored in zip(made, expected, strict=True):
            np.testing.assert_array_equal(array, stored.array)
            np.testing.assert_allclose(scale, stored.quantization.scale, rtol=1e-15)


@on_tensors
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("function", [integer.tanh, integer.logistic])
@pytest.mark.parametrize("scale", [2.0**-13, 0.03, 1e-6, 7.0, 2.0**-12])
def test_functions_of_every_integer(function, dtype, scale):
    import tensorflow as tf

    dtype = np.dtype(dtype)
    source = Quantization(scale, 3 if dtype == np.int8 else 0)
    every = EVERY[dtype.name]
    expected = function(every.astype(dtype), source)
    for made in both(lambda: function(tf.constant(every), tensors(source), dtype)):
        np.testing.assert_array_equal(made, expected)


@on_tensors
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_sums_and_conversions(dtype):
    import tensorflow as tf

    dtype, rng = np.dtype(dtype), np.random.default_rng(2)
    low, high = EVERY[dtype.name][[0, -1]]
    zero_points = (3, -20, 7) if dtype == np.int8 else (0, 0, 0)
    x_format, y_format, target = (
        Quantization(float(scale), zero)
        for scale, zero in zip(rng.uniform(0.01, 0.2, 3), zero_points, strict=True)
    )
    x, y = rng.integers(low, high + 1, (2, 4000)).astype(dtype)
    big = rng.integers(-(1 << 24), 1 << 24, 4000)

    for activation in (None, "RELU", "RELU6", "RELU_N1_TO_1"):
        expected = [
            integer.add(x, y, x_format, y_format, target, activation),
            integer.requantize(x, x_format, target, dtype),
            integer.from_sums(big, None, 3e-5, target, dtype, activation),
            integer.dequantize(x, x_format),
        ]

        def run(activation=activation):
            first, second, result = map(tensors, (x_format, y_format, target))
            a, b = (tf.constant(v.astype(np.int64)) for v in (x, y))
            addition = integer.Addition.of(first, second, result, dtype)
            return [
                addition.total(addition.term(a, 0), addition.term(b, 1), activation),
                integer.requantize(a, first, result, dtype),
                integer.from_sums(
                    tf.constant(big), None, tf.constant(3e-5, tf.float64), result, dtype, activation
                ),
                integer.dequantize(a, first),
            ]

        for made in both(run):
            for ours, theirs in zip(made, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


@on_tensors
def test_factors_of_tensors():
    import tensorflow as tf

    reals = np.concatenate(
        [2.0 ** np.random.default_rng(3).uniform(-40, 12, 500), [2.0**-32, 2.0**-33, 1.0, 0.0]]
    )
    expected = fixed_point.factor(reals)
    for made in both(lambda: fixed_point.factor(tf.constant(reals))):
        for ours, theirs in zip(made, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)

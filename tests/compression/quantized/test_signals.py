"""Ranges of signals, and the formats that tensors carry."""

import keras
import numpy as np
import pytest

from keras_vrnn.quantization.formats import Quantization

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")


@pytest.fixture
def signals():
    from keras_vrnn.compression.quantized import signals

    return signals


@pytest.fixture
def made(signals):
    """A layer's signals "u" and "v"."""
    layer = keras.layers.Layer(name="some")
    return signals.Signals(layer, ("u", "v"), "int8")


def test_calibration_widens_each_range(made):
    made.widen({"u": np.array([1.0, 3.0])})
    made.widen({"u": np.array([-2.0]), "v": np.zeros((0, 4))})
    assert [float(end) for end in made.range("u")] == [-2.0, 3.0]
    assert [float(end) for end in made.range("v")] == [0.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_signals_that_are_not_finite_are_refused(made, bad):
    with pytest.raises(ValueError, match="Layer \"some\": its signal 'v' is NaN or infinite"):
        made.widen({"u": np.ones(2), "v": np.array([0.0, bad])})


def test_averages_move_towards_a_batch_that_is_finite(made):
    made.widen({"u": np.array([-1.0, 1.0]), "v": np.array([0.0, 4.0])})
    made.average(np.array([[-3.0, 1.0], [0.0, 2.0]], "float32"), momentum=0.75)
    np.testing.assert_allclose(made._variable, [[-1.5, 1.0], [0.0, 3.5]])
    made.average(np.array([[np.nan, 1.0], [0.0, 2.0]], "float32"), momentum=0.75)
    made.average(np.array([[-9.0, 1.0], [0.0, 2.0]], "float32"), momentum=0.75, where=False)
    np.testing.assert_allclose(made._variable, [[-1.5, 1.0], [0.0, 3.5]])


@pytest.mark.parametrize(("scheme", "bits", "steps"), [("int8", 16, 255), ("int16x8", 9, 32767)])
def test_the_ends_of_a_format_are_exact_in_float32(signals, scheme, bits, steps):
    """Whoever computes the scale from them gets the same one."""
    layer = keras.layers.Layer()
    made = signals.Signals(layer, ("u",), scheme)
    for high in np.random.default_rng(0).uniform(1e-4, 1e4, 50):
        made.widen({"u": np.array([-high / 3, high])})
        form = signals.plain(made.format("u"))
        mantissa = np.frexp(form.scale)[0] * 2**bits
        assert mantissa == int(mantissa)
        assert float(np.float32(form.scale * steps)) == form.scale * steps
        assert form.scale * steps >= (high if scheme == "int16x8" else high * 4 / 3) * (1 - 1e-6)


def test_tensors_carry_their_format(signals):
    import tensorflow as tf

    layer, form = keras.layers.Layer(name="reader"), Quantization(0.5, 3)
    tensor = signals.carrying(tf.ones(2), form)
    assert signals.format_of(tensor, layer) is form
    with pytest.raises(ValueError, match='Layer "reader": its input carries no number format'):
        signals.format_of(tf.ones(2), layer)
    with signals.calibrating():
        assert signals.format_of(tf.ones(2), layer) is None


def test_calibration_ends_with_its_block(signals):
    def fail():
        with signals.calibrating():
            raise KeyError(signals.is_calibrating())

    with pytest.raises(KeyError, match="True"):
        fail()
    assert not signals.is_calibrating()


def test_notes_are_taken_only_where_someone_asks(signals):
    layer = keras.layers.Layer()
    signals.note(layer, {"u": Quantization(0.5, 3)})
    with signals.noting() as notes:
        signals.note(layer, {"u": Quantization(0.5, 3)}, {"kernel": (np.ones(2), np.ones(1))})
    assert len(notes) == 1
    assert notes[0].layer is layer
    assert notes[0].formats == {"u": Quantization(0.5, 3)}
    assert list(notes[0].constants) == ["kernel"]


def test_rounding_has_the_gradient_of_the_real_numbers_within_the_range(signals):
    import tensorflow as tf

    form = Quantization(tf.constant(0.5, tf.float64), tf.constant(0, tf.int64))
    x = tf.constant([-100.0, -1.2, 0.3, 100.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        integers = tf.constant([-128, -2, 1, 127], tf.int64)
        y = signals.rounded(x, integers, form, np.dtype("int8"))
    np.testing.assert_array_equal(y, [-64.0, -1.0, 0.5, 63.5])
    np.testing.assert_array_equal(tape.gradient(y, x), [0.0, 1.0, 1.0, 0.0])

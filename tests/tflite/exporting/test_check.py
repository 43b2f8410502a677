"""The accuracy gate: what it refuses, what it warns of, and what it leaves alone."""

import warnings

import keras
import numpy as np
import pytest
from exported_models import dense_front, random_data, randomize
from keras import layers
from random_models import draw

import keras_vrnn as kv
from keras_vrnn.quantization.formats import short
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.check import _WARN, AccuracyWarning, deviation
from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla
from keras_vrnn.tflite.exporting.trained import input_ranges

X = random_data(40, 9, 4)


def export(model, folder, x=X, **options):
    return kv.tflite.export(model, folder / "m.tflite", calibration_data=x, **options)


@pytest.fixture
def wrong_recurrence(monkeypatch):
    """A fault of our own: the step is written with a transposed kernel."""
    write = Vanilla.write_step

    def transposed(self, graph, name, formats):
        other = Vanilla(self.kernel, self.recurrent_kernel.T.copy(), self.bias, self.activation)
        return write(other, graph, name, formats)

    monkeypatch.setattr(Vanilla, "write_step", transposed)


@pytest.mark.parametrize("form", ["sequence", "unrolled", "streaming"])
@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8", "int8x4", "int16x8"])
def test_a_wrong_file_is_refused_in_every_format(form, quantization, wrong_recurrence, tmp_path):
    with pytest.raises(ValueError, match=r"differs from Keras by 0\.\d+ of its range"):
        export(dense_front(return_sequences=True), tmp_path, form=form, quantization=quantization)
    assert list(tmp_path.iterdir()) == []


def test_a_larger_max_error_writes_the_file_with_a_warning(wrong_recurrence, tmp_path):
    with pytest.warns(AccuracyWarning, match="differs from Keras by") as caught:
        result = export(dense_front(), tmp_path, max_error=float("inf"))
    assert max(result.errors.values()) > 0.1
    assert caught[0].filename == __file__  # the user's line
    with pytest.raises(ValueError, match="quantization='float32', output"):  # a float file has no excuse
        export(dense_front(), tmp_path, quantization="float32", max_error=float("inf"), overwrite=True)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), True, "0.1"])
def test_max_error_is_a_positive_number(value, tmp_path):
    with pytest.raises(ValueError, match=r"`max_error` must be a positive number"):
        export(dense_front(), tmp_path, max_error=value)


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_the_result_holds_the_errors(quantization, tmp_path):
    result = export(dense_front(name="y"), tmp_path, quantization=quantization)
    (error,) = result.errors.values()
    assert 0 < error < (1e-5 if quantization == "float32" else 0.03)
    assert f"{error:.2g}" in str(result)


@pytest.mark.parametrize("seed", [1, 4, 10])
def test_healthy_models_stay_far_below_the_limits(seed, tmp_path):
    model, x, description = draw(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, of masks
        warnings.simplefilter("error", AccuracyWarning)
        for quantization, limit in (_WARN | {"float32": 1e-5}).items():
            if quantization == "int16x8":  # some of their layers have no int16 operator
                continue
            result = export(model, tmp_path, x, quantization=quantization, overwrite=True)
            # Limits are three times the worst of many models; float32 twenty times.
            assert max(result.errors.values()) <= limit / 2, (description, quantization)


def test_a_stateful_model_is_compared_from_zero_and_keeps_its_state(tmp_path):
    inputs = keras.Input(batch_shape=(3, 9, 4))
    model = keras.Model(inputs, kv.VanillaRNN(5, stateful=True)(inputs))
    model(X[:3])
    before = model.layers[1].states[0].numpy().copy()
    assert before.any()
    result = export(model, tmp_path, X[:10], quantization="float32")
    assert max(result.errors.values()) <= 1e-5
    np.testing.assert_array_equal(model.layers[1].states[0].numpy(), before)


@pytest.mark.parametrize("dtype", ["mixed_float16", "float64"])
def test_the_model_as_the_user_gave_it_is_the_measure(dtype, tmp_path):
    inputs = keras.Input((9, 4))
    model = randomize(keras.Model(inputs, kv.VanillaRNN(5, dtype=dtype)(inputs)))
    result = export(model, tmp_path, quantization="float32")
    # float16 has 11 bits, through nine steps; float64 is compared as float32.
    assert max(result.errors.values()) <= (5e-3 if dtype == "mixed_float16" else 1e-5)


def chaotic(timesteps):
    """A recurrence whose errors grow until the state has forgotten where it came from."""
    inputs = keras.Input((timesteps, 2), name="x")
    layer = kv.VanillaRNN(32)
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=(2, 32)), rng.normal(size=(32, 32)) * 3 / np.sqrt(32), np.zeros(32)])
    return model, rng.normal(size=(8, timesteps, 2)).astype("float32")


def test_a_chaotic_recurrence_is_warned_of_but_not_refused(tmp_path):
    model, x = chaotic(60)
    with pytest.warns(AccuracyWarning, match="the model amplifies rounding"):
        result = export(model, tmp_path, x)
    assert max(result.errors.values()) > 0.1


def test_a_chaotic_float_file_is_not_taken_for_a_wrong_one(tmp_path):
    model, x = chaotic(60)
    result = export(model, tmp_path, x, quantization="float32")
    assert max(result.errors.values()) > 1e-5


def test_outputs_that_are_nan_or_infinite(tmp_path):
    inputs = keras.Input((9, 4))
    y = layers.Lambda(lambda h: keras.ops.log(h))(layers.Dense(2)(kv.VanillaRNN(5)(inputs)))
    model = randomize(keras.Model(inputs, y))
    result = export(model, tmp_path, quantization="float32")  # NaN where Keras gives NaN
    assert max(result.errors.values()) <= 1e-5


def test_one_sample_and_outputs_without_range(tmp_path):
    inputs = keras.Input((9, 4))
    model = keras.Model(inputs, kv.VanillaRNN(3, activation="relu", kernel_initializer="zeros")(inputs))
    for quantization in ("float32", "int8", "int16x8"):
        result = export(model, tmp_path, X[:1], quantization=quantization, overwrite=True)
        assert result.errors.popitem()[1] == 0.0


def test_deviation_is_relative_to_the_range_with_zero_and_that_of_the_worst_unit():
    expected = np.array([[10.0, 0.0], [8.0, 0.0]], np.float32)
    found = deviation(expected + np.array([[0.0, 1.0], [0.0, 0.0]]), expected)
    assert found.largest == pytest.approx(0.1)
    assert found.mean == pytest.approx(0.05)
    assert found.of_spread == pytest.approx(0.05)
    assert deviation(expected, expected).largest == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_deviation_of_values_that_are_not_finite(bad):
    expected = np.array([[1.0, bad]], np.float32)
    assert deviation(expected.copy(), expected).largest == 0.0
    assert deviation(np.array([[1.0, 2.0]]), expected).largest == np.inf
    assert deviation(np.array([[bad, 2.0]]), np.array([[1.0, 2.0]], np.float32)).largest == np.inf


def test_deviation_of_classes_is_the_share_of_those_that_differ():
    assert deviation(np.array([1.0, 2.0, 3.0, 3.0]), np.array([1, 2, 3, 4])).mean == 0.25


def test_deviation_of_an_output_that_is_always_zero_is_measured_in_steps():
    zeros = np.zeros((4, 2), np.float32)
    assert deviation(zeros + 0.01, zeros, step=0.01).mean == pytest.approx(1 / 8)


def test_halves_are_rounded_differently_and_are_no_fault(tmp_path):
    """A file with float inputs rounds halves away from zero, training to even; the recurrence amplifies that."""
    rng = np.random.default_rng(0)
    inputs = keras.Input((40, 3), name="x")
    states = kv.VanillaRNN(8, return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="y")(states))
    model.set_weights(
        [rng.normal(size=w.shape, scale=1.0 if w.shape == (8, 8) else 0.5) for w in model.get_weights()]
    )
    x = rng.normal(size=(16, 40, 3)).astype("float32")
    aware = kv.compression.quantize_aware(model, "int8", calibration_data=x)
    step = short(SCHEMES["int8"].format(*input_ranges(aware)["x"]), np.int8).scale
    halves = ((np.floor(x / step) + 0.5) * np.float32(step)).astype("float32")
    export(aware, tmp_path, halves, io="float32", max_error=9)

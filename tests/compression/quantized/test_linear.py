"""A quantization-aware Dense against TFLite Micro and the gradients of float arithmetic."""

import keras
import numpy as np
import pytest
from reference import relative_error
from simulated import export

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.tflite.micro.interpreter import MicroRunner, is_installed

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

KINDS = [("int8", 8), ("int16x8", 8), ("int8", 4)]
X = np.random.default_rng(0).normal(size=(40, 6, 3)).astype("float32")


def aware(quantization, bits, *dense):
    keras.utils.set_random_seed(1)
    inputs = keras.Input(X.shape[1:], name="x")
    y = inputs
    for layer in dense:
        y = layer(y)
    y = kv.VanillaRNN(4, return_sequences=True)(y)
    model = kv.Model(inputs, keras.layers.Dense(3, name="last")(y))
    return compression.quantize_aware(model, quantization, weight_bits=bits, calibration_data=X)


@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize(("quantization", "bits"), KINDS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_layers_compute_what_tflite_micro_computes(quantization, bits, use_bias, tmp_path):
    from keras_vrnn.compression.quantized.linear import ACTIVATIONS

    layers = [
        keras.layers.Dense(5, name, use_bias=use_bias, bias_initializer="random_normal")
        for name in ACTIVATIONS
        if name != "softmax"
    ]
    made = aware(quantization, bits, *layers)
    made.compile(jit_compile=use_bias and (quantization, bits) == KINDS[0])  # test_step.py has each scheme
    export(made, tmp_path / "m.tflite", None)
    np.testing.assert_array_equal(made.predict_on_batch(X), MicroRunner(tmp_path / "m.tflite")(X))


@pytest.mark.parametrize(("quantization", "bits"), KINDS)
def test_gradients_are_those_at_the_rounded_numbers(quantization, bits):
    import tensorflow as tf

    made = aware(quantization, bits, keras.layers.Dense(5, name="d"))
    dense = made.get_layer("d")
    x = made.get_layer("x_integers")(X)
    dy = np.random.default_rng(2).normal(size=(40, 6, 5)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(dense(x) * dy)
    dx, d_kernel, d_bias = tape.gradient(loss, [x, dense.kernel.value, dense.bias.value])
    from keras_vrnn.compression.quantized import signals

    with signals.noting() as notes:
        y = np.array(dense(x))
    kernel, _ = notes[0].constants["kernel"]
    form = notes[0].formats["sum"]
    inside = np.abs(y / form.scale + form.zero_point) < np.iinfo(dense.signals.scheme.dtype).max
    dy = np.where(inside, dy, 0.0)  # clipped sums have no gradient
    for ours, theirs in (
        (dx, dy @ kernel.T),
        (d_kernel, np.einsum("bti,bto->io", x, dy)),
        (d_bias, dy.sum((0, 1))),
    ):
        assert relative_error(ours, theirs) < 0.01  # the sums at the ends of the range may count or not


def test_probabilities_that_round_to_zero_have_a_gradient():
    """The loss would be infinite, and its gradient zero."""
    recurrence = kv.VanillaRNN(3, "linear", recurrent_initializer="zeros")
    model = kv.Sequential([keras.Input(X.shape[1:]), recurrence, keras.layers.Dense(2, "softmax")])
    made = compression.quantize_aware(model, calibration_data=100 * X)
    made.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
    labels = np.argmin(made.predict_on_batch(100 * X), axis=1)
    logs = made.evaluate(100 * X, labels, verbose=0)
    before = np.array(made.layers[-1].kernel)
    made.fit(100 * X, labels, verbose=0)
    assert np.isfinite(logs)
    assert np.abs(np.array(made.layers[-1].kernel) - before).max() > 1e-3


def test_saved_variables_include_the_ranges(tmp_path):
    made = aware("int8", 8, keras.layers.Dense(5, name="d"))
    made.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    for name in ("d", "last"):
        np.testing.assert_array_equal(
            loaded.get_layer(name).signals._variable, made.get_layer(name).signals._variable
        )


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_one_input_that_others_read_too(quantization, tmp_path):
    """The converter turns the product of the one column into MUL and ADD."""
    inputs = keras.Input((7, 1))
    dense = keras.layers.Dense(3, activation="relu")(inputs)
    recurrence = kv.VanillaRNN(3, return_sequences=True)(inputs)
    model = keras.Model(
        inputs, keras.layers.Dense(8)(keras.layers.Concatenate()([dense, recurrence, inputs]))
    )
    x = np.random.default_rng(0).normal(size=(16, 7, 1)).astype("float32")
    made = compression.quantize_aware(model, quantization, calibration_data=x)
    made.compile(jit_compile=False)
    kv.tflite.export(made, tmp_path / "m.tflite")
    np.testing.assert_array_equal(kv.tflite.simulate(tmp_path / "m.tflite", x), made.predict(x, verbose=0))

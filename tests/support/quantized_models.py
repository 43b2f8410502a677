"""Quantization-aware models against their exported files and against the float layers."""

import keras
import numpy as np
import tensorflow as tf

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals

STEPS, FEATURES = 13, 4


def samples(count=16):
    return np.random.default_rng(0).normal(size=(count, STEPS, FEATURES)).astype("float32")


def model_of(*layers, recurrent=True):
    """Returns a float model of these layers with random weights, and a recurrence behind them."""
    made = inputs = keras.Input((STEPS, FEATURES), name="x")
    for layer in layers:
        made = layer(made)
    if recurrent:
        made = kv.VanillaRNN(7, return_sequences=True)(made)
    model = kv.Model(inputs, made)
    randomize(model)
    return model


def randomize(model):
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if "float" not in weight.dtype:
            continue
        value = 0.4 * rng.normal(size=weight.shape)
        weight.assign(value**2 + 0.3 if "variance" in weight.name else value)


def check_against_file(model, quantization, tmp_path):
    """Checks that a model trains as the integers that its file computes; returns the quantization-aware model."""
    x = samples()
    aware = kv.compression.quantize_aware(model, quantization, calibration_data=x)
    exact = aware.predict(x, verbose=0)
    kv.tflite.export(aware, tmp_path / "model.tflite")
    np.testing.assert_array_equal(exact, kv.tflite.simulate(tmp_path / "model.tflite", x))
    aware.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), exact)
    return aware


def check_gradients(model, aware, least=0.97):
    """Checks that the gradients of a quantization-aware model point where those of its float graph do.

    In calibration the same layers compute in float32.
    """
    x = samples()
    with signals.calibrating():
        exact = _gradients(aware, x)
    rounded = _gradients(aware, x)
    for name, gradient in exact.items():
        assert np.abs(gradient).max() > 0, name
        a, b = gradient.ravel(), rounded[name].ravel()
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        assert cosine > least, (name, cosine)  # eight bits leave 1 % and more of noise in small models


def _gradients(model, x):
    with tf.GradientTape() as tape:
        made = model(x, training=False)
        loss = tf.reduce_mean(tf.square(made - 0.3))
    gradients = tape.gradient(loss, model.trainable_variables)
    return {
        v.path: np.zeros(v.shape) if g is None else g.numpy()
        for v, g in zip(model.trainable_variables, gradients, strict=True)
    }

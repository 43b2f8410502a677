"""Checks of quantization-aware models: against the exported file, the float layers and a `.keras` round trip."""

import keras
import numpy as np

import keras_vrnn as kv
from keras_vrnn.compression.quantized import signals
from keras_vrnn.models import structure

BATCH, STEPS, FEATURES = 8, 11, 4


def signal(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=(BATCH, *(shape or (STEPS, FEATURES)))).astype("float32")


def tokens(vocabulary=9, seed=4):
    """Token ids with some zeros at the end of each row, and one row of zeros."""
    made = np.random.default_rng(seed).integers(1, vocabulary, (BATCH, STEPS)).astype("int32")
    for row in range(BATCH):
        made[row, STEPS - row :] = 0
    return made


def randomized(model, seed=5):
    """Gives the weights of a model random values, biases and statistics too."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "float" in weight.dtype:
            value = rng.normal(scale=0.4, size=weight.shape)
            weight.assign(value**2 + 0.3 if "variance" in weight.name else value)
    return model


def model_of(*layers, recurrent=True):
    """Returns a float model of these layers with random weights, and a recurrence behind them."""
    made = inputs = keras.Input((STEPS, FEATURES), name="x")
    for layer in layers:
        made = layer(made)
    if recurrent:
        made = kv.VanillaRNN(7, return_sequences=True)(made)
    return randomized(kv.Model(inputs, made))


def predicted(model, x):
    """Returns the outputs of a model as arrays."""
    flat = x if isinstance(x, dict) else list(x) if isinstance(x, (list, tuple)) else x
    return [np.asarray(output) for output in keras.tree.flatten(model(flat))]


def quantized_and_checked(model, x, quantization, path):
    """Makes a quantization-aware model, and checks that its file computes the same numbers, every single one."""
    model = randomized(model)
    made = kv.compression.quantize_aware(model, quantization, calibration_data=x)
    assert_file_is_equal(made, x, path)
    return made


def checked_against_file(model, quantization, folder):
    """Does the same for a model of one signal, and saves and loads it too; returns the quantization-aware model."""
    made = quantized_and_checked(model, signal(), quantization, folder / "model.tflite")
    assert_round_trip(made, signal(), folder / "model.keras")
    return made


def assert_file_is_equal(model, x, path):
    kv.tflite.export(model, path, overwrite=True, max_error=1.0)
    expected = predicted(model, x)
    simulated = kv.tflite.simulate(path, x)
    names = structure.output_names(model, model.output, taken=structure.input_names(model))
    found = [simulated] if len(expected) == 1 else [simulated[name] for name in names]
    assert len(np.unique(np.concatenate([np.ravel(e) for e in expected]))) > 3
    for e, f in zip(expected, found, strict=True):
        np.testing.assert_array_equal(e, np.reshape(f, e.shape))


def assert_round_trip(model, x, path):
    """Saves and loads a model; the copy must predict the same numbers."""
    model.save(path)
    for one, other in zip(predicted(model, x), predicted(keras.saving.load_model(path), x), strict=True):
        np.testing.assert_array_equal(one, other)


def gradients(model, x):
    """Returns weight path -> gradient of the sum of squares of all outputs, as an array."""
    import tensorflow as tf

    arrays = x if isinstance(x, dict) else list(x) if isinstance(x, (list, tuple)) else x
    with tf.GradientTape() as tape:
        made = keras.tree.flatten(model(arrays, training=True))
        loss = sum(tf.reduce_sum(output**2) for output in made)
    found = tape.gradient(loss, model.trainable_weights)
    assert all(gradient is not None for gradient in found)
    return {
        weight.path: np.asarray(tf.convert_to_tensor(gradient))
        for weight, gradient in zip(model.trainable_weights, found, strict=True)
    }


def assert_gradients_agree(aware, least=0.97):
    """Checks that the gradients of a quantization-aware model point where those of its float graph do.

    In calibration the same layers compute in float32.
    """
    with signals.calibrating():
        exact = gradients(aware, signal())
    for name, rounded in gradients(aware, signal()).items():
        a, b = exact[name].ravel(), rounded.ravel()
        assert np.abs(a).max() > 0, name
        cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
        assert cosine > least, (name, cosine)  # eight bits leave 1 % and more of noise in small models

"""One step in integers against TFLite Micro, and the products of float32 against int64."""

import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.tflite.micro.interpreter import MicroRunner, is_installed

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="needs TensorFlow")

ACTIVATIONS = ("tanh", "sigmoid", "relu", "relu6", "hard_tanh", "linear")
TABLES = ("elu", "softsign", "leaky_relu", "hard_sigmoid", "softplus", "selu")
KINDS = [("int8", 8), ("int16x8", 8), ("int8", 4)]


def recurrence(activation, timesteps, quantization, bits, trained=False, backwards=False):
    """A quantization-aware recurrence with random weights, and its data."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((timesteps, 3), name="x")
    layer = kv.VanillaRNN(
        7,
        activation=activation,
        return_sequences=True,
        go_backwards=backwards,
        recurrent_initializer=kv.initializers.SpectralRadius(0.9),
        bias_initializer="random_normal",
        name="rnn",
    )
    x = np.random.default_rng(3).normal(size=(6, timesteps, 3)).astype("float32")
    made = compression.quantize_aware(
        kv.Model(inputs, layer(inputs)), quantization, weight_bits=bits, calibration_data=x
    )
    if trained:
        made.compile(keras.optimizers.Adam(0.01), "mse", global_clipnorm=1.0, jit_compile=False)
        made.fit(x, 0.5 * np.sign(np.cumsum(x, 1) @ np.ones((3, 7))), epochs=5, verbose=0)
    return made, x


@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize(("quantization", "bits"), KINDS)
@pytest.mark.parametrize(
    ("activation", "timesteps", "jit_compile"),
    [
        *((activation, 20, activation == ACTIVATIONS[0]) for activation in ACTIVATIONS),
        *(pytest.param(activation, 200, True, marks=pytest.mark.slow) for activation in ACTIVATIONS),
    ],
)
def test_states_are_those_of_tflite_micro(activation, timesteps, jit_compile, quantization, bits, tmp_path):
    made, x = recurrence(activation, timesteps, quantization, bits)
    made.compile(jit_compile=jit_compile)
    export(made, tmp_path / "m.tflite", None)
    np.testing.assert_array_equal(made.predict_on_batch(x), MicroRunner(tmp_path / "m.tflite")(x))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("activation", TABLES)
def test_activations_by_table(activation, bits, tmp_path):
    made, x = recurrence(activation, 20, "int8", bits)
    made.compile(jit_compile=False)
    export(made, tmp_path / "m.tflite", None)
    np.testing.assert_array_equal(made.predict_on_batch(x), kv.tflite.simulate(tmp_path / "m.tflite", x))


@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize(
    ("quantization", "bits", "timesteps"),
    [(*KINDS[0], 20), *(pytest.param(*kind, 200, marks=pytest.mark.slow) for kind in KINDS)],
)
def test_states_of_trained_weights_backwards(quantization, bits, timesteps, tmp_path):
    made, x = recurrence("tanh", timesteps, quantization, bits, trained=True, backwards=True)
    export(made, tmp_path / "m.tflite", None)
    np.testing.assert_array_equal(made.predict_on_batch(x), MicroRunner(tmp_path / "m.tflite")(x))


@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_masks_and_initial_states(quantization, tmp_path):
    keras.utils.set_random_seed(4)
    inputs, start = keras.Input((9, 3), name="x"), keras.Input((5,), name="h")
    layer = kv.VanillaRNN(5, return_sequences=True, return_state=True)
    source = kv.Model([inputs, start], layer(inputs, initial_state=start))
    rng = np.random.default_rng(5)
    data = {"x": rng.normal(size=(6, 9, 3)).astype("float32"), "h": rng.normal(size=(6, 5)).astype("float32")}
    made = compression.quantize_aware(source, quantization, calibration_data=data)
    made.compile(jit_compile=False)
    export(made, tmp_path / "m.tflite", None)
    theirs = MicroRunner(tmp_path / "m.tflite")(data)
    for ours, name in zip(made.predict_on_batch(data), theirs, strict=True):
        np.testing.assert_array_equal(ours, theirs[name])
    # A masked step keeps the state.
    mask = rng.random((6, 9)) < 0.6
    rnn = next(layer for layer in made.layers if isinstance(layer, kv.VanillaRNN))
    x = made.get_layer("x_integers")(data["x"])
    states = np.array(rnn(x, mask=mask)[0])
    kept = ~mask[:, 1:]
    np.testing.assert_array_equal(states[:, 1:][kept], states[:, :-1][kept])


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("inputs", [5, 517, 600])
def test_products_are_exact(dtype, inputs):
    """Beyond 2²⁴ ones of float32 would not be; the largest integers show it."""
    import tensorflow as tf

    from keras_vrnn.compression.quantized.step import exact_product

    rng = np.random.default_rng(6)
    ends = {"int8": (-128 - 127, 255), "int16": (-32768, 32767)}[dtype]
    x = rng.integers(*ends, (8, inputs), endpoint=True)
    x[0], x[1] = ends
    weights = rng.integers(-127, 127, (inputs, 4), endpoint=True)
    weights[:, 0] = 127
    for jit in (False, True):
        run = tf.function(exact_product, jit_compile=jit)
        made = run(tf.constant(x, tf.float32), tf.constant(weights, tf.float32), np.dtype(dtype))
        np.testing.assert_array_equal(tf.cast(made, tf.int64), x @ weights)

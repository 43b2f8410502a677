import keras
import numpy as np
import pytest
from keras import layers
from quantized_models import (
    FEATURES,
    STEPS,
    assert_round_trip,
    gradients,
    quantized_and_checked,
    signal,
)

import keras_vrnn as kv

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])
SLOW = pytest.mark.slow


def both(mode, activation="tanh", other=None, **options):
    backward = None
    if other is not None:
        backward = kv.VanillaRNN(4, activation=other, go_backwards=True, **options)
    forward = kv.VanillaRNN(4, activation=activation, **options)
    return kv.Bidirectional(forward, merge_mode=mode, backward_layer=backward)


def model_of(layer):
    x = keras.Input((STEPS, FEATURES), name="x")
    made = layer(x)
    return keras.Model(x, list(made) if isinstance(made, (list, tuple)) else made)


CASES = {
    "concatenated": lambda: both("concat", return_sequences=True),
    "relu": lambda: both("concat", "relu", return_sequences=True),
    "two activations": lambda: both("concat", "tanh", "sigmoid"),
    "summed": lambda: both("sum", return_sequences=True),
    "apart": lambda: both(None, return_sequences=True),
    "stock": lambda: layers.Bidirectional(layers.SimpleRNN(4)),
}
# int16x8 always where its arithmetic differs: one scale for both directions, or a sum.
RUNS = [
    *((case, "int8") for case in CASES),
    ("two activations", "int16x8"),
    ("summed", "int16x8"),
    *(pytest.param(case, "int16x8", marks=SLOW) for case in ("concatenated", "relu", "apart", "stock")),
]


@pytest.mark.parametrize(("case", "quantization"), RUNS)
def test_the_file_computes_the_same(case, quantization, tmp_path):
    quantized_and_checked(model_of(CASES[case]()), signal(), quantization, tmp_path / "m.tflite")


@EACH
def test_states_pass_to_another_layer(quantization, tmp_path):
    x = keras.Input((STEPS, FEATURES), name="x")
    made, *states = both("sum", return_sequences=True, return_state=True)(x)
    model = keras.Model(x, [both("concat")(made, initial_state=states), *states])
    quantized_and_checked(model, signal(), quantization, tmp_path / "m.tflite")


@EACH
def test_masked_steps_are_zero(quantization, tmp_path):
    data = signal()
    data[:, 3:] = 0
    x = keras.Input((STEPS, FEATURES), name="x")
    h = both("concat", return_sequences=True)(layers.Masking()(x))
    made = quantized_and_checked(keras.Model(x, h), data, quantization, tmp_path / "m.tflite")
    assert not np.any(made(data)[:, 3:])


def test_all_weights_get_gradients_and_the_model_is_saved(tmp_path):
    made = kv.compression.quantize_aware(model_of(both("sum", "relu", "tanh")), calibration_data=signal())
    assert all(gradient.any() for gradient in gradients(made, signal()).values())
    assert_round_trip(made, signal(), tmp_path / "m.keras")


def test_a_product_is_refused():
    model = model_of(layers.Bidirectional(kv.VanillaRNN(4), merge_mode="mul", name="both"))
    message = r"'both' \(Bidirectional\).*'mul'.*Use merge_mode='concat' or 'sum'"
    with pytest.raises(ValueError, match=message):
        kv.compression.quantize_aware(model, calibration_data=signal())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=SLOW) for seed in (1, 2, 3))])
@pytest.mark.parametrize("bits", [8, 4])
def test_compiled_programs_compute_the_same(bits, seed):
    """On AVX-512, loops of XLA that narrowed int64 to int32 wrote past their buffers."""
    x = np.random.default_rng(0).normal(size=(32, 5, 3)).astype("float32")
    x[:, -2:] = 0
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5, 3))
    h = layers.BatchNormalization()(layers.Masking()(inputs))
    h = layers.Bidirectional(layers.SimpleRNN(5, return_sequences=True), merge_mode="sum")(h)
    made = kv.compression.quantize_aware(keras.Model(inputs, h), weight_bits=bits, calibration_data=x)
    made.compile(jit_compile=True)
    np.testing.assert_array_equal(made.predict(x, verbose=0), made(x))

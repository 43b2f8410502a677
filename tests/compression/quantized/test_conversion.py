import keras
import pytest
from keras import layers
from quantized_models import (
    F,
    T,
    quantized_and_checked,
    signal,
)

import keras_vrnn as kv

EACH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


def of_one(build):
    x = keras.Input((T, F), name="x")
    return keras.Model(x, build(x)), signal()


def shared(x):
    dense, rnn = layers.Dense(4), kv.VanillaRNN(4, return_sequences=True)
    return dense(rnn(dense(rnn(layers.Dense(4)(x)))))


def nested(x):
    inside = keras.Input((T, F))
    inner = keras.Model(inside, kv.VanillaRNN(4, return_sequences=True)(layers.Dense(3)(inside)))
    return layers.Dense(2)(inner(x))


def states(x):
    outputs, state = kv.VanillaRNN(4, return_state=True, return_sequences=True)(x)
    return [kv.VanillaRNN(4)(outputs, initial_state=state), state]


@EACH
@pytest.mark.parametrize("build", [shared, nested, states])
def test_the_file_computes_the_same(build, quantization, tmp_path):
    quantized_and_checked(*of_one(build), quantization, tmp_path / "m.tflite")


@EACH
def test_dictionaries_of_inputs_and_outputs(quantization, tmp_path):
    a, b = keras.Input((T, F), name="a"), keras.Input((T, F), name="b")
    outputs = {"p": layers.Dense(2)(kv.VanillaRNN(4)(a)), "q": kv.VanillaRNN(3)(b)}
    model, x = keras.Model({"a": a, "b": b}, outputs), {"a": signal(), "b": signal(seed=9)}
    quantized_and_checked(model, x, quantization, tmp_path / "m.tflite")


@EACH
def test_a_state_that_a_dense_layer_makes(quantization, tmp_path):
    a, b = keras.Input((T, F), name="a"), keras.Input((F,), name="b")
    start = layers.Dense(4, activation="tanh")(b)
    model = keras.Model([a, b], kv.VanillaRNN(4, return_sequences=True)(a, initial_state=start))
    quantized_and_checked(model, [signal(), signal(F)], quantization, tmp_path / "m.tflite")

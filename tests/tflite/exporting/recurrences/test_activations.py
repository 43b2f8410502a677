"""Every activation of the recurrence, and models that compute or remember otherwise than the file will."""

import errno
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import dense_front, random_data, randomize
from keras import layers

import keras_vrnn as kv

X = random_data(40, 9, 4)
ACTIVATIONS = [
    *("tanh", "sigmoid", "linear", "relu", "relu6", "hard_tanh", "elu", "selu", "softplus", "softsign"),
    *("leaky_relu", "hard_sigmoid", "gelu", "silu", "mish"),
]
INT16 = ("tanh", "sigmoid", "linear", "relu", "relu6", "hard_tanh")


def exported(model, path, quantization, **options):
    kv.tflite.export(model, path, quantization=quantization, calibration_data=X, **options)
    return kv.tflite.Runner(path)(X)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, tmp_path):
    model = dense_front(activation=activation, return_sequences=True)
    y = model.predict(X, verbose=0)
    # float32: the operators that approximate erf and exp. int8, int16x8: as in test_tflite_forms.
    for quantization, bar in (("float32", 1e-5), ("int8", 0.03), ("int16x8", 0.01)):
        if quantization == "int16x8" and activation not in INT16:
            with pytest.raises(ValueError, match=f"'{activation}', for which there is no int16 operator"):
                exported(model, tmp_path / quantization, quantization)
            continue
        error = np.abs(exported(model, tmp_path / quantization, quantization) - y)
        assert error.mean() <= bar * np.ptp(y)


def test_a_function_of_the_users_own_whatever_its_name(tmp_path):
    def tanh(a):  # not the one of this name
        return 0.5 * tf.abs(a)

    model = dense_front(activation=tanh)
    y = model.predict(X, verbose=0)
    for quantization, bar in (("float32", 1e-5), ("int8", 0.03)):
        assert np.abs(exported(model, tmp_path / quantization, quantization) - y).mean() <= bar


def test_an_activation_over_all_units_in_float(tmp_path):
    model = dense_front(activation="softmax")
    y = model.predict(X, verbose=0)
    assert np.abs(exported(model, tmp_path / "m", "float32") - y).max() <= 1e-5


def test_tables_are_the_same_on_tflite_micro(tmp_path):
    from tflite_micro.python.tflite_micro import runtime

    inputs = keras.Input((9, 4))
    model = randomize(keras.Model(inputs, kv.VanillaRNN(6, activation="elu")(inputs)))
    exported(model, tmp_path / "m", "int8", io="float32")
    interpreter = runtime.Interpreter.from_file(str(tmp_path / "m"))
    y, made = model.predict(X, verbose=0), []
    for sample in X:
        interpreter.set_input(sample[None], 0)
        interpreter.invoke()
        made.append(interpreter.get_output(0)[0])
    assert np.abs(np.stack(made) - y).mean() <= 0.03 * np.ptp(y)  # as on LiteRT


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16", "mixed_bfloat16"])
def test_other_precisions_become_float32(dtype, tmp_path):
    inputs = keras.Input((9, 4), name="x")
    x = layers.Bidirectional(kv.VanillaRNN(5, return_sequences=True, dtype=dtype), dtype=dtype)(inputs)
    model = randomize(keras.Model(inputs, layers.Dense(3, dtype=dtype)(kv.VanillaRNN(6, dtype=dtype)(x))))
    y = np.asarray(model.predict(X, verbose=0), np.float32)
    # bfloat16 has 8 bits of mantissa, float16 11, over two layers of 9 steps.
    bar = 1e-5 if dtype == "float64" else 0.03
    assert np.abs(exported(model, tmp_path / "m", "float32") - y).max() <= bar * np.ptp(y)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_a_stateful_model_starts_from_zero(form, tmp_path):
    inputs = keras.Input(batch_shape=(40, 9, 4), name="x")
    layer = kv.VanillaRNN(5, stateful=True, return_sequences=True)
    model = randomize(keras.Model(inputs, layer(inputs)))
    y = model.predict(X, batch_size=40, verbose=0)  # the first batch: from zero
    state = np.asarray(layer.states[0])
    assert np.abs(exported(model, tmp_path / "m", "float32", form=form) - y).max() <= 1e-5
    np.testing.assert_array_equal(layer.states[0], state)  # the user's model keeps its own


class Looping(keras.layers.Layer):
    """A layer with a loop in a function of its own, where a look at the operations of the model does not find it."""

    @tf.function
    def call(self, inputs):
        return tf.while_loop(lambda k, x: k < 3, lambda k, x: (k + 1, 0.9 * x), (0, inputs))[1]

    def compute_output_shape(self, shape):
        return shape


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_a_hidden_loop_never_reaches_the_calibrator(quantization, tmp_path):
    inputs = keras.Input((9, 4))
    model = keras.Model(inputs, Looping()(kv.VanillaRNN(3)(inputs)))
    with pytest.raises(ValueError, match="must have no loop besides its vanilla RNN layers"):
        exported(model, tmp_path / "m", quantization)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
    ids=["disk full", "interrupted"],
)
def test_nothing_is_half_written(fault, tmp_path, monkeypatch):
    # A full disk and Ctrl-C can't be had at will: the write fails after a part.
    write = pathlib.Path.write_bytes

    def broken(self, content):
        write(self, content[:100])
        raise fault

    (tmp_path / "m").write_text("the one before")
    monkeypatch.setattr(pathlib.Path, "write_bytes", broken)
    with pytest.raises(type(fault)):
        exported(dense_front(), tmp_path / "m", "float32", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").read_text() == "the one before"

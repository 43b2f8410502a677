"""Models that the export refuses before any work, and models that it takes as they are."""

import keras
import numpy as np
import pytest
from exported_models import dense_front, random_data
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.capture.preparation import prepared


class DoubledCell(kv.VanillaRNNCell):
    def call(self, sequence, states, training=False):
        h, states = super().call(sequence, states, training)
        return 2 * h, states


class Unbuildable(keras.Model):
    def get_config(self):
        raise NotImplementedError("no configuration")


def refused(kind):
    inputs = keras.Input((9, 4))
    if kind == "no recurrence":
        return keras.Model(inputs, layers.Dense(3)(inputs))
    if kind == "stacked":
        cells = [layers.GRUCell(3), layers.LSTMCell(3)]
        return keras.Model(inputs, layers.RNN(cells, name="a")(inputs))
    if kind == "cell":
        return keras.Model(inputs, layers.RNN(DoubledCell(3))(inputs))
    if kind == "configuration":
        return Unbuildable(inputs, kv.VanillaRNN(3, dtype="float64")(inputs))
    return {"unbuilt": keras.Sequential([kv.VanillaRNN(3)]), "no model": 3}[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no recurrence", "Received: a model without any. tf.lite.TFLiteConverter takes models without"),
        (
            "stacked",
            r"Received: the recurrent layers 'a' \(RNN\). .* batch_size=1.* unroll=True",
        ),
        ("cell", "layer 'rnn.*' with a DoubledCell, which has a `call` of its own"),
        (
            "configuration",
            "Received: NotImplementedError: no configuration. Build the model with dtype='float32'",
        ),
        (
            "unbuilt",
            "must be a built functional or Sequential Keras model. Received: a Sequential without inputs",
        ),
        ("no model", "Received: a int without inputs"),
    ],
)
def test_models_are_refused_with_the_reason(kind, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(refused(kind), tmp_path / "m", calibration_data=random_data(4, 9, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_plain_model_stays_itself():
    model = dense_front()
    assert prepared(model) is model


def test_integer_layers_are_no_reason_to_rebuild():
    inputs = keras.Input((9, 4))
    steps = layers.Discretization([0.0], output_mode="int", dtype="int64")(inputs)
    model = keras.Model(inputs, kv.VanillaRNN(3)(keras.ops.cast(steps, "float32")))
    assert prepared(model) is model


@pytest.mark.parametrize("options", [dict(dtype="float64"), dict(dtype="mixed_float16"), dict(stateful=True)])
def test_other_models_are_rebuilt(options):
    inputs = keras.Input(batch_shape=(2, 9, 4))
    model = keras.Model(inputs, kv.VanillaRNN(3, **options)(inputs))
    made = prepared(model)
    assert made is not model
    (layer,) = [layer for layer in made.layers if isinstance(layer, keras.layers.RNN)]
    assert (layer.compute_dtype, layer.stateful) == ("float32", False)
    assert made.inputs[0].shape == (None, 9, 4)
    np.testing.assert_allclose(made.get_weights()[0], np.float32(model.get_weights()[0]))

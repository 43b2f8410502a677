"""Which code computes a recurrent layer, and why."""

import keras
import numpy as np
import pytest
from oracle_errors import NEEDS_TENSORFLOW

import keras_vrnn as kv


class OwnStep(kv.VanillaRNNCell):
    def call(self, sequence, states, training=False):
        return super().call(sequence, states, training)


@pytest.mark.usefixtures("native_on")
def test_the_native_kernel_is_named_where_it_serves():
    model = kv.Sequential(
        [
            keras.Input((4, 3)),
            kv.Bidirectional(kv.VanillaRNN(2, return_sequences=True)),
            kv.FastRNN(2, name="fast"),
        ]
    )
    assert [info.path for info in kv.backend_info(model)] == ["native", "native", "hand-written"]
    assert "second derivatives" in kv.backend_info(model)[0].reason
    assert (
        str(kv.backend_info(model)[2]) == "fast: hand-written (the native kernel has the vanilla RNN alone)"
    )


@pytest.mark.usefixtures("native_off")
def test_the_other_paths_and_their_reasons():
    without = "hand-written" if keras.backend.backend() in ("tensorflow", "jax") else "autodiff"
    layers = [
        kv.VanillaRNN(2, return_sequences=True),
        kv.VanillaRNN(2, activation="softmax", return_sequences=True),
        keras.layers.GRU(2),
    ]
    found = kv.backend_info(keras.Sequential([keras.Input((4, 3)), *layers]))
    assert [info.path for info in found] == [without, "autodiff", "keras"]
    if keras.backend.backend() == "tensorflow":
        assert found[0].reason == "switched off by `native.set_enabled(False)`"
    assert found[2].reason == "GRU is a layer of Keras"


@NEEDS_TENSORFLOW
@pytest.mark.usefixtures("native_on")
def test_a_layer_with_its_own_recurrence():
    model = kv.Sequential([keras.Input((4, 3)), kv.VanillaRNN(2), keras.layers.Dense(1)])
    (info,) = kv.backend_info(
        kv.compression.quantize_aware(model, calibration_data=np.ones((8, 4, 3), "float32"))
    )
    assert info.path == "cell"
    assert "has its own `recur`" in info.reason
    layer = kv.VanillaRNN(2)
    layer.cell = OwnStep(2)
    assert kv.backend_info(layer)[0].reason == "OwnStep has its own `call`"


def test_something_else_is_an_error():
    with pytest.raises(TypeError, match=r"`layer` must be a layer or a model\. Received: 'rnn'"):
        kv.backend_info("rnn")

"""The vanilla cell: its float step against Keras, and the room that its signals get."""

import math

import keras
import numpy as np
import pytest
from keras import layers

import keras_vrnn as kv
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.recurrences import cell_of
from keras_vrnn.tflite.exporting.recurrences.vanilla import Vanilla


def cell(activation):
    layer = kv.VanillaRNN(1, activation=activation)
    layer.build((None, 2, 1))
    return cell_of(layer)


@pytest.mark.parametrize("kind", [kv.VanillaRNN, layers.SimpleRNN])
@pytest.mark.parametrize("use_bias", [False, True])
def test_float_step_equals_keras(kind, use_bias):
    layer = kind(5, use_bias=use_bias, bias_initializer="uniform")
    layer.build((None, 1, 3))
    own = cell_of(layer)
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 5)).astype("float32")
    signals = own.step(own.project(x), (h,)).signals
    assert isinstance(own, Vanilla)
    assert own.units == 5
    assert {"z", *signals} == set(own.signals)
    expected = keras.ops.convert_to_numpy(layer.cell(x, [h])[0])
    np.testing.assert_allclose(signals["h"], expected, atol=1e-6)  # float32, sums of 8 terms


def test_terms_get_no_more_room_than_the_saturated_sum_can_use():
    ranges = {"z": (-100.0, 2.0), "r": (-1.0, 1.0), "a": (-101.0, 3.0), "h": (-1.0, 1.0), "x": (-1.0, 1.0)}
    signals = cell("tanh").formats(SCHEMES["int8"], ranges, {}).signals
    lowest = signals["z"].scale * (-128 - signals["z"].zero_point)
    assert lowest == pytest.approx(math.atanh(-127.5 / 128) - 1.0, abs=signals["z"].scale)
    unbounded = cell("linear").formats(SCHEMES["int8"], ranges, {}).signals
    assert unbounded["z"].scale == pytest.approx(102.0 / 255)
    clipped = (
        cell("relu").formats(SCHEMES["int8"], ranges, {}).signals
    )  # below -1 r can't lift the sum above 0
    assert clipped["z"].scale == pytest.approx(3.0 / 255)

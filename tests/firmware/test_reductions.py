"""Poolings and reductions in C: every integer against TFLite Micro."""

import firmware
import numpy as np
import pytest
from micro_operators import Draws, both, movement, options

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.micro.interpreter import is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
TYPES = pytest.mark.parametrize("dtype", ["int8", "int16"])


def pooled(window, draws, image=(1, 11)):
    source = draws.format()
    settings = options("Pool2D", filterHeight=window.size[0], filterWidth=window.size[1], **movement(window))
    settings.fusedActivationFunction = draws.activation()
    given = [(draws.values(1, *image, 3), source)]
    return given, (1, *window.results(image), 3), draws.dtype.name, source, settings


@TYPES
@pytest.mark.parametrize(("taps", "stride"), [(2, 2), (3, 1), (11, 1), (1, 2)])
@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("name", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
def test_windows(name, upright, taps, stride, dtype, tmp_path):
    def along(first, second):
        return (second, first) if upright else (first, second)

    for seed in range(2):
        window = Window(along(1, taps), along(1, stride))
        arguments = pooled(window, Draws(seed, dtype), along(1, 11))
        firmware.assert_operator(tmp_path, name, *arguments)


@TYPES
def test_windows_beyond_the_ends(dtype, tmp_path):
    window = Window((1, 4), (1, 2), (1, 1), True)
    firmware.assert_operator(tmp_path, "MAX_POOL_2D", *pooled(window, Draws(0, dtype)))
    both(tmp_path / "m.tflite", "AVERAGE_POOL_2D", *pooled(window, Draws(0, dtype)))
    with pytest.raises(ValueError, match="AVERAGE_POOL_2D with padding of its own"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path)


def test_images_are_refused(tmp_path):
    both(tmp_path / "m.tflite", "MAX_POOL_2D", *pooled(Window((2, 2), (1, 1)), Draws(0, "int8"), (4, 4)))
    with pytest.raises(ValueError, match="MAX_POOL_2D over more than one axis"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path)


@TYPES
@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", ["MEAN", "SUM"])
def test_axes(name, axes, dtype, tmp_path):
    for seed in range(3):
        draws = Draws(seed, dtype)
        x = draws.values(1, 7, 5)
        source = draws.format(0.03)
        target = draws.format(0.03 * draws.between(-1, 3))
        shape = x.mean(axis=axes, keepdims=True).shape
        given = [(x, source), (np.array(axes, np.int32), None, True)]
        settings = options("Reducer", keepDims=True)
        firmware.assert_operator(tmp_path, name, given, shape, dtype, target, settings)


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("name", ["REDUCE_MAX", "REDUCE_MIN"])
def test_extremes(name, axes, tmp_path):
    draws = Draws(3, "int8")
    x, form = draws.values(1, 7, 5), draws.format(0.03)
    shape = x.max(axis=axes, keepdims=True).shape
    given = [(x, form), (np.array(axes, np.int32), None, True)]
    firmware.assert_operator(tmp_path, name, given, shape, "int8", form, options("Reducer", keepDims=True))


def test_axes_apart_are_refused(tmp_path):
    draws = Draws(3, "int8")
    given = [(draws.values(1, 7, 5, 2), Quantization(0.5, 0)), (np.array([1, 3], np.int32), None, True)]
    arguments = (given, (1, 1, 5, 1), "int8", Quantization(0.5, 0), options("Reducer", keepDims=True))
    both(tmp_path / "m.tflite", "MEAN", *arguments)
    with pytest.raises(ValueError, match="computes MEAN over axes that are not neighbours"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path)

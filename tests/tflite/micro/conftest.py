"""Small files in every format, shared by the tests of TFLite Micro."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """(form, quantization) -> file of one small model."""
    folder = tmp_path_factory.mktemp("micro")
    model = keras.Sequential(
        [keras.Input((9, 3), name="x"), kv.VanillaRNN(4), keras.layers.Dense(2, name="y")], name="m"
    )
    made = {}
    for form, quantization in [
        ("sequence", "int8"),
        ("streaming", "int8"),
        ("sequence", "dynamic"),
        ("sequence", "float16"),
        ("sequence", "float32"),
        ("sequence", "int16x8"),
        ("sequence", "int8x4"),
    ]:
        path = folder / f"{form}_{quantization}.tflite"
        kv.tflite.export(model, path, form=form, quantization=quantization, calibration_data=X)
        made[form, quantization] = path
    return made

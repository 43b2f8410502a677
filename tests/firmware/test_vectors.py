"""Integers for programs in C: those of the simulation, in the order of the calls."""

import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware.vectors import vectors_of
from keras_vrnn.tflite.running.engines import dequantize

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize(("form", "steps"), [("sequence", 1), ("streaming", 4)])
def test_outputs_are_those_of_the_simulation(form, steps, tmp_path):
    inputs = keras.Input((4, 3), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True)(inputs))
    export(model, tmp_path / "m.tflite", X, form=form)
    made = vectors_of(tmp_path / "m.tflite", X)
    assert (made.samples, made.steps) == (5, steps)
    runner = kv.tflite.Runner(tmp_path / "m.tflite")
    (name,) = made.outputs
    real = dequantize(made.outputs[name], runner.output_details[name]).reshape(5, 4, 6)
    np.testing.assert_array_equal(real, kv.tflite.simulate(tmp_path / "m.tflite", X))
    assert len(made.given) == X.size
    assert np.frombuffer(made.expected, np.int8).tolist() == made.outputs[name].reshape(-1).tolist()

"""Tracing: chains of operators become one loop or one table, and nothing is computed twice."""

import keras
import numpy as np
import pytest
from exported_models import randomize
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware.nodes import Compute, Loop
from keras_vrnn.firmware.program import program_of

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)


def traced(path, activation, **settings):
    inputs = keras.Input((4, 3), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6, activation=activation, return_sequences=True)(inputs))
    export(randomize(model, 1), path, X, **settings)
    return program_of(path)


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_a_step_is_one_loop_over_the_units(activation, tmp_path):
    (node,) = traced(tmp_path / "m.tflite", activation, form="streaming").body
    assert isinstance(node, Compute)
    assert len(node.products()) == 2
    tables = [name for term in node.terms() for name in term.constants]
    assert len(tables) == (0 if activation == "relu" else 1)


def test_a_sequence_is_a_loop_over_the_steps(tmp_path):
    z, loop = traced(tmp_path / "m.tflite", "tanh").body
    assert isinstance(z, Compute)
    assert isinstance(loop, Loop)
    assert z.rows == 4
    assert not any(isinstance(node, Loop) for node in loop.body)


def test_equal_constants_are_one(tmp_path):
    program = traced(tmp_path / "m.tflite", "tanh")
    contents = [(buffer.dtype, buffer.array.tobytes()) for buffer in program.constants]
    assert len(contents) == len(set(contents))

"""A file as a program: its edges, its states and its multiplications."""

import keras
import numpy as np
import pytest
from exported_models import randomize
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware import program as programs
from keras_vrnn.firmware.buffers import Unsupported
from keras_vrnn.firmware.program import program_of

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)


def layer(path, **settings):
    inputs = keras.Input((4, 3), name="x")
    export(keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True)(inputs)), path, X, **settings)
    return program_of(path)


@pytest.mark.parametrize("state", ["explicit", "internal"])
def test_a_state_is_no_argument(state, tmp_path):
    made = layer(tmp_path / "m.tflite", form="streaming", state=state)
    assert [edge.argument for edge in made.inputs] == ["in_x"]
    assert len(made.outputs) == 1
    assert [(edge.argument, edge.view.size) for edge in made.states] == [("state_0", 6)]
    assert made.multiplications == 6 * (6 + 3)


def test_a_sequence_counts_all_its_steps(tmp_path):
    made = layer(tmp_path / "m.tflite")
    assert made.states == []
    assert made.multiplications == 4 * 6 * (6 + 3)
    # The states of all steps lie in the output itself, so z is computed there.
    assert made.outputs[0].view.buffer.memory.place == "output"


def test_states_begin_where_the_file_says(tmp_path):
    inputs = keras.Input((4, 3), name="x")
    model = randomize(
        keras.Model(inputs, kv.VanillaRNN(6, activation="sigmoid", return_sequences=True)(inputs)), 2
    )
    export(model, tmp_path / "m.tflite", X, form="streaming")
    (state,) = program_of(tmp_path / "m.tflite").states
    assert set(state.view.buffer.array.tolist()) == {state.format.zero_point}


def test_labels_become_different_names():
    labels = ["a b", "a-b", "A_B", "é", "", "9"]
    made = programs._identifiers("in", labels)
    assert made == ["in_a_b", "in_a_b_2", "in_a_b_3", "in_value", "in_value_2", "in_9"]


def test_real_inputs_become_the_integers_behind_their_first_operator(tmp_path):
    made, expected = layer(tmp_path / "m.tflite", io="float32"), layer(tmp_path / "n.tflite")
    assert made.halves_away
    assert not expected.halves_away
    for edges, others in ((made.inputs, expected.inputs), (made.outputs, expected.outputs)):
        assert [edge.format for edge in edges] == [edge.format for edge in others]
        assert [edge.view.buffer.dtype for edge in edges] == [np.int8]


def test_a_file_of_real_numbers_is_refused(tmp_path):
    with pytest.raises(Unsupported, match="float32"):
        layer(tmp_path / "m.tflite", quantization="float32")

"""Names that a streaming file keeps for its states."""

import keras
import pytest

import keras_vrnn as kv


def model_of(outputs, name="x"):
    inputs = keras.Input((6, 3), name=name)
    return keras.Model(inputs, outputs(inputs))


def rnn(name, units=2):
    return kv.VanillaRNN(units, name=name)


@pytest.mark.parametrize("name", ["state_in", "my_state_in"])
@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_names_of_states_are_refused_before_any_work(name, form, tmp_path):
    model = model_of(lambda x: rnn("y")(x), name)
    message = f"must have no input with a name that ends in 'state_in', .* Received: '{name}'"
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(model, tmp_path / "m", form=form, quantization="float32")
    assert list(tmp_path.iterdir()) == []


def test_an_output_may_have_a_states_name_where_there_are_no_states(tmp_path):
    model = model_of(lambda x: {"state_out": rnn("y")(x)})
    kv.tflite.export(model, tmp_path / "m", quantization="float32")
    with pytest.raises(
        ValueError, match=r"no output with a name that ends in 'state_out'.*Rename the layer or key"
    ):
        kv.tflite.export(model, tmp_path / "s", form="streaming", quantization="float32")


def test_the_name_of_the_length_is_refused_where_the_file_has_one(tmp_path):
    model = keras.Sequential([keras.Input((None, 3), name="length"), rnn("y")])
    with pytest.raises(ValueError, match=r"no input called 'length' with timesteps=None"):
        kv.tflite.export(model, tmp_path / "m", quantization="float32", timesteps=None, max_timesteps=4)
    kv.tflite.export(model, tmp_path / "m", quantization="float32", timesteps=4)

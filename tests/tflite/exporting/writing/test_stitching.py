"""The joints between the stock part and the recurrences, seen in finished files."""

import keras
import pytest
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile
from keras_vrnn.tflite.reading import text

X = random_data(8, 6, 4)


def exported(outputs, path, **options):
    inputs = keras.Input((6, 4), name="x")
    model = randomize(keras.Model(inputs, outputs(inputs)))
    result = kv.tflite.export(model, path, calibration_data=X, **options)
    return ModelFile(result.path.read_bytes()), result


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_one_signature_and_no_tensor_of_the_converters(quantization, tmp_path):
    # Without weights around the recurrence, the converter used to leave a signature of its own.
    file, result = exported(
        lambda x: layers.Softmax()(kv.VanillaRNN(3)(2 * x)), tmp_path / "m", quantization=quantization
    )
    assert [text(signature.signatureKey) for signature in file.model.signatureDefs] == ["serving_default"]
    names = [text(file.main.subgraph.tensors[int(i)].name) for i in file.main.subgraph.inputs]
    assert names == ["x"]
    assert result.signatures["serving_default"]["outputs"] == [
        text(file.main.subgraph.tensors[int(i)].name) for i in file.main.subgraph.outputs
    ]


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_no_tensor_is_two_inputs_or_outputs(quantization, tmp_path):
    def outputs(x):
        y = kv.VanillaRNN(3, return_sequences=True, name="y")(x)
        return {"y": y, "again": y, "x": x, "state": y[:, -1], "zeros": keras.ops.zeros_like(y)}

    for form in ("sequence", "streaming"):
        file, _ = exported(outputs, tmp_path / form, quantization=quantization, form=form)
        edges = [*map(int, file.main.subgraph.inputs), *map(int, file.main.subgraph.outputs)]
        assert len(set(edges)) == len(edges)
        assert all(file.main.data(index) is None for index in edges)


def test_a_value_of_the_same_format_needs_no_conversion(tmp_path):
    _, result = exported(
        lambda x: kv.VanillaRNN(3)(kv.VanillaRNN(4, return_sequences=True)(x)),
        tmp_path / "m",
        quantization="int8",
    )
    assert "QUANTIZE" not in result.operators


@pytest.mark.parametrize("state", ["explicit", "internal"])
def test_states_of_a_stream(state, tmp_path):
    file, result = exported(
        lambda x: kv.VanillaRNN(3, name="b")(kv.VanillaRNN(4, return_sequences=True, name="a")(x)),
        tmp_path / "m",
        quantization="int8",
        form="streaming",
        state=state,
    )
    signature = result.signatures["serving_default"]
    states = ["a_0_state_{}", "b_1_state_{}"] if state == "explicit" else []
    assert signature["inputs"] == ["x", *(name.format("in") for name in states)]
    assert signature["outputs"] == ["b", *(name.format("out") for name in states)]
    assert ("READ_VARIABLE" in result.operators) == (state == "internal")
    if state == "explicit":
        main = file.main
        for source, target in zip(main.subgraph.inputs[1:], main.subgraph.outputs[1:], strict=True):
            assert main.quantization(int(source)) == main.quantization(int(target))

"""Reading `.tflite` files: names, and damage of every kind, which must be refused and must not crash or hang."""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from stock_files import convert

import keras_vrnn as kv
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

DAMAGE = Path(__file__).parents[1] / "support" / "damage.py"


def model_of(layers=1):
    recurrent = [kv.VanillaRNN(4, return_sequences=True) for _ in range(layers)]
    return keras.Sequential([keras.Input((9, 3), name="x"), *recurrent, keras.layers.Dense(2)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    x = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)
    kv.tflite.export(model_of(), folder / "int8", calibration_data=x)
    kv.tflite.export(model_of(2), folder / "streaming", form="streaming", calibration_data=x)
    kv.tflite.export(model_of(), folder / "float32", quantization="float32")
    inputs = keras.Input((9, 3), batch_size=1)
    stock = keras.Model(inputs, keras.layers.SimpleRNN(4)(inputs))
    convert(folder / "stock", lambda x: stock(x), tf.TensorSpec((1, 9, 3), name="x"))
    return folder


def readers_accept(file, folder, count, seed=1):
    """How many of `count` damaged copies of a file each reader accepts, in a process that neither crashes nor hangs."""
    command = [sys.executable, str(DAMAGE), str(file), str(folder), str(count), str(seed)]
    # The time limit shows a reader that does not end; a damaged file takes milliseconds, a foreign one a process.
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * count + 120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["int8", "streaming"])
def test_no_damage_to_an_exported_file_is_accepted(files, tmp_path, name):
    assert readers_accept(files / name, tmp_path, 200) == {}


def test_damage_to_the_file_of_another_program_does_not_crash(files, tmp_path):
    accepted = readers_accept(files / "stock", tmp_path, 10)
    assert accepted["run"] < 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["int8", "streaming", "float32"])
def test_no_damage_of_a_thousand_kinds_is_accepted(files, tmp_path, name):
    assert readers_accept(files / name, tmp_path, 1000, seed=7) == {}


@pytest.mark.slow
def test_much_damage_to_the_file_of_another_program_does_not_crash(files, tmp_path):
    accepted = readers_accept(files / "stock", tmp_path, 100, seed=7)
    assert 0 < accepted["run"] < 100  # a changed weight is still a model


def changed(files, change):
    """The int8 file without its digest, after `change(model)`: as if another program had written it so."""
    file = ModelFile((files / "int8").read_bytes())
    file.model.metadata = []
    for buffer in file.model.buffers:
        if buffer.data is not None and bytes(buffer.data).startswith(b"\xc5VRNN"):
            buffer.data = None
    change(file.model)
    return file.pack()


def _quantized(model):
    return next(t for t in model.subgraphs[0].tensors if t.quantization is not None)


def _weights(model):
    """The int8 weights of the Dense layer, (2, 4)."""
    return next(t for t in model.subgraphs[0].tensors if reading.indices(t.shape) == [2, 4])


def _operator(model, name):
    graphs = [(graph, operator) for graph in model.subgraphs for operator in graph.operators]
    return next(operator for _, operator in graphs if reading.operator_name(model, operator) == name)


def _set_quantization(**values):
    def change(model):
        tensor = _quantized(model)
        tensor.quantization = copy.copy(tensor.quantization)
        for name, value in values.items():
            setattr(tensor.quantization, name, value)

    return change


def _set(of, name, value):
    return lambda model: setattr(of(model), name, value)


FAULTS = {
    "another schema": (_set(lambda m: m, "version", 4), "schema version 4"),
    "without a graph": (_set(lambda m: m, "subgraphs", []), "it holds no graph"),
    "input of no tensor": (_set(lambda m: m.subgraphs[0], "inputs", [999]), "tensor index 999"),
    "operator of no tensor": (_set(lambda m: _operator(m, "WHILE"), "outputs", [999]), "tensor index 999"),
    "operator without code": (_set(lambda m: _operator(m, "WHILE"), "opcodeIndex", 99), "has no code"),
    "loop without options": (
        _set(lambda m: _operator(m, "WHILE"), "builtinOptions", None),
        "has the options of another",
    ),
    "loop without body": (
        _set(lambda m: _operator(m, "WHILE").builtinOptions, "bodySubgraphIndex", 9),
        "subgraph index 9",
    ),
    "tensor of no buffer": (_set(lambda m: m.subgraphs[0].tensors[0], "buffer", 999), "a missing buffer"),
    "huge tensor": (_set(lambda m: m.subgraphs[0].tensors[0], "shape", [2**30, 2**30]), "bytes"),
    "negative shape": (_set(lambda m: m.subgraphs[0].tensors[0], "shape", [-5]), r"tensor shape \[-5\]"),
    "unknown type": (_set(lambda m: m.subgraphs[0].tensors[0], "type", 99), "tensor type 99"),
    "weights of another type": (
        _set(_weights, "type", reading.schema.TensorType.INT4),
        "tensor .* of 4 bytes holds 8",
    ),
    "NaN scale": (_set_quantization(scale=[math.nan]), "has the scale"),
    "negative scale": (_set_quantization(scale=[-1.0]), "has the scale"),
    "too few zero points": (_set_quantization(zeroPoint=[]), "0 zero points, [12] scales"),
    "axis of no dimension": (_set_quantization(quantizedDimension=9), "quantized along axis 9"),
    "scales of no slice": (_set_quantization(scale=[1.0] * 7, zeroPoint=[0] * 7), "has 7 scales"),
    "signature of no graph": (_set(lambda m: m.signatureDefs[0], "subgraphIndex", 9), "a missing graph"),
    "signature of no tensor": (
        _set(lambda m: m.signatureDefs[0].inputs[0], "tensorIndex", 999),
        "a missing tensor",
    ),
}


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS)
def test_references_that_lead_nowhere_are_refused(change, reason, files, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(files, change))
    with pytest.raises(ValueError, match=rf"which is cut or damaged: .*{reason}"):
        reading.read(path)


def test_the_changes_are_what_is_refused(files, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(files, lambda model: None))
    assert kv.tflite.inspect(path).intact is None


def test_names_of_inputs_and_outputs(files):
    _, model = reading.read(files / "int8")
    inputs, outputs = reading.edge_names(model)
    runner = kv.tflite.Runner(files / "int8")
    assert (inputs, outputs) == (runner.inputs, runner.outputs)
    model.signatureDefs = []
    assert reading.edge_names(model)[0] == ["x"]  # the tensor's own name
    model.subgraphs[0].inputs = [model.subgraphs[0].inputs[0]] * 2
    with pytest.raises(ValueError, match=r"inputs have different names. Received: \['x', 'x'\]"):
        reading.edge_names(model)


def test_operator_names(files):
    _, model = reading.read(files / "int8")
    names = {reading.operator_name(model, o) for graph in model.subgraphs for o in graph.operators}
    assert names == set(kv.tflite.inspect(files / "int8").operators)


def test_a_keras_file_is_told_from_a_damaged_one(tmp_path):
    model_of().save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"m.keras'.* is an archive, as .keras files are. Export it first"):
        kv.tflite.inspect(tmp_path / "m.keras")

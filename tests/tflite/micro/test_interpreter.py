"""TFLite Micro: what we say of it, against the real interpreter."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite import reading
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import operators as micro_operators
from keras_vrnn.tflite.micro import trial as micro_trial

X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)


@pytest.fixture(scope="module")
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
    ]:
        path = folder / f"{form}_{quantization}.tflite"
        kv.tflite.export(model, path, form=form, quantization=quantization, calibration_data=X)
        made[form, quantization] = path
    return made


def test_known_operators_are_those_of_the_interpreter():
    """Asks the interpreter for every builtin operator, in a model of nothing but that one."""
    program = """
import os, sys
import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from tflite_micro.python.tflite_micro import runtime

def model(code):
    m, graph = schema.ModelT(), schema.SubGraphT()
    m.version, m.buffers, m.subgraphs = 3, [schema.BufferT()], [graph]
    tensor, operator, opcode = schema.TensorT(), schema.OperatorT(), schema.OperatorCodeT()
    tensor.name, tensor.shape = "t", [1]
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [tensor, tensor], [operator], [0], [1]
    opcode.builtinCode, opcode.deprecatedBuiltinCode, opcode.version = code, min(code, 127), 1
    m.operatorCodes = [opcode]
    builder = flatbuffers.Builder()
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output())

for name, code in vars(schema.BuiltinOperator).items():
    if isinstance(code, int) and not name.startswith(("CUSTOM", "PLACEHOLDER", "DELEGATE")):
        print("OPERATOR", name, file=sys.stderr, flush=True)
        if os.fork() == 0:  # a kernel may crash on so odd a model; that it was found is all that matters
            try:
                runtime.Interpreter.from_bytes(model(code), arena_size=100_000)
            finally:
                os._exit(0)
        os.wait()
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr
    known, asked = set(), said.split("OPERATOR ")[1:]
    for answer in asked:
        if "Didn't find op for builtin opcode" not in answer:
            known.add(answer.split()[0])
    assert len(asked) > 150
    assert known == set(micro_operators.RESOLVER_METHODS)


def test_rules_agree_with_the_interpreter(files):
    for key, path in files.items():
        tried, obstacles = micro.attempt(path), micro_operators.obstacles(reading.read(path)[1])
        assert tried.runs == (not obstacles), (key, tried.reason, obstacles)
        assert tried.runs == (key[1] not in ("dynamic", "float16"))
    assert "dynamic-range" in micro_operators.obstacles(reading.read(files["sequence", "dynamic"])[1])[0]


@pytest.mark.parametrize("key", [("sequence", "int8"), ("streaming", "int8"), ("sequence", "float32")])
def test_the_smallest_arena_is_enough_and_less_is_not(files, key):
    path = str(files[key])
    arena = micro.attempt(path, smallest=True).arena
    assert arena.total == arena.activations + arena.persistent
    # What stays in use is what print_allocations reports, up to the alignment of the arena's start.
    assert arena.smallest >= arena.total - 16
    assert micro_trial._runs(path, arena.smallest)
    assert not micro_trial._runs(path, arena.smallest - 64)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_micro_runner_gives_what_the_runner_gives(files, form):
    path = files[form, "int8"]
    runner = kv.tflite.Runner(path)
    (detail,) = runner._outputs.values()
    error = np.abs(micro.MicroRunner(path)(X) - runner(X)) / detail["quantization"][0]
    # Reference kernels round a product differently once in a few hundred; the recurrence carries such a step on.
    assert error.mean() <= 0.5
    assert error.max() <= 8


def test_files_that_it_refuses(files, tmp_path):
    with pytest.raises(ValueError, match=r"TFLite Micro can't run .*filter type: INT8 not supported"):
        micro.MicroRunner(files["sequence", "dynamic"])
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(files["sequence", "int8"].read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut.tflite' is not a TFLite model that can be read, it is cut"):
        micro.attempt(cut)


def test_a_crash_of_the_interpreter_is_a_reason(files, monkeypatch, tmp_path):
    crashing = tmp_path / "trial.py"
    crashing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(micro.micro_trial, "__file__", str(crashing))
    tried = micro.attempt(files["sequence", "int8"])
    assert (tried.runs, tried.arena) == (False, None)
    assert "crashed (SIGSEGV)" in tried.reason


def test_missing_package(monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[micro\]'"):
        micro.attempt("m.tflite")


@pytest.mark.slow
@pytest.mark.parametrize(("quantization", "steps"), [("int8", 1000), ("int16x8", 100)])
def test_long_streams_equal_the_sequence_and_repeat_after_a_reset(quantization, steps, tmp_path):
    """A thousand steps with the state outside and inside of the interpreter: the integers of one whole sequence."""
    inputs = keras.Input((steps, 3), name="x")
    # ReLU: its state's zero point is not 0, so that a reset to the integer 0 would show.
    model = keras.Model(inputs, kv.VanillaRNN(4, activation="relu", return_sequences=True)(inputs))
    model.layers[1].cell.recurrent_kernel.assign(0.5 * np.eye(4) + 0.1 * np.arange(16).reshape(4, 4) / 16)
    x = np.random.default_rng(1).normal(size=(2, steps, 3)).astype(np.float32)
    outputs = {}
    for form, state in (("sequence", "explicit"), ("streaming", "explicit"), ("streaming", "internal")):
        path = tmp_path / f"{form}_{state}"
        options = {"form": form, "state": state, "quantization": quantization}
        kv.tflite.export(model, path, calibration_data=x, **options)
        runner = micro.MicroRunner(path)
        outputs[form, state] = runner(x[:1])
        np.testing.assert_array_equal(runner(x[:1]), outputs[form, state])
    np.testing.assert_array_equal(outputs["streaming", "explicit"], outputs["sequence", "explicit"])
    np.testing.assert_array_equal(outputs["streaming", "internal"], outputs["sequence", "explicit"])

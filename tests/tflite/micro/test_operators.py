"""The known operators and limits of TFLite Micro, against TFLite Micro itself."""

import subprocess
import sys

from keras_vrnn.tflite import reading
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import operators as micro_operators


def test_known_operators_are_those_of_the_interpreter():
    """Asks the interpreter for every builtin operator, in a model with that one operator."""
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
        if os.fork() == 0:  # a kernel may crash on such a model; only whether it was found matters
            try:
                runtime.Interpreter.from_bytes(model(code), arena_size=100_000)
            finally:
                os._exit(0)
        os.wait()
"""
    log = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stderr
    known, asked = set(), log.split("OPERATOR ")[1:]
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

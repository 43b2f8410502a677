"""States that stay inside the interpreter."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from small_graphs import finished, new_graph

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite.exporting.writing import edges, variables
from keras_vrnn.tflite.exporting.writing import operators as op


def counters(dtype, quantization):
    """Two states: a adds x at every invoke, b adds 2x."""
    file, main = new_graph()
    x = main.tensor("x", (1, 2), dtype, quantization)
    states = {name: main.tensor(name, (1, 2), dtype, quantization) for name in "ab"}
    finals = {
        "a": op.add(main, "next_a", states["a"], x, quantization),
        "b": op.add(main, "next_b", op.add(main, "half", states["b"], x, quantization), x, quantization),
    }
    variables.keep(file, states, finals)
    edges.sign(file, "serving_default", 0, {"x": x}, finals)
    return finished(file, [x], list(finals.values()))


def test_states_go_on_until_they_are_reset():
    interpreter = Interpreter(model_content=counters(np.float32, None))
    step, x = interpreter.get_signature_runner("serving_default"), np.array([[1, 10]], np.float32)
    for count in (1, 2, 3):
        made = step(x=x)
        np.testing.assert_array_equal(made["a"], count * x)
        np.testing.assert_array_equal(made["b"], 2 * count * x)
    interpreter.get_signature_runner("reset")()
    np.testing.assert_array_equal(step(x=x)["a"], x)


def test_a_quantized_state_starts_at_its_zero_point():
    interpreter = Interpreter(model_content=counters(np.int8, Quantization(0.5, -20)))
    step = interpreter.get_signature_runner("serving_default")
    made = step(x=np.array([[-20, -18]], np.int8))  # 0 and 1
    np.testing.assert_array_equal(made["a"], [[-20, -18]])
    np.testing.assert_array_equal(made["b"], [[-20, -16]])

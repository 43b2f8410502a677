"""Files of one operator, run in TFLite Micro and in the simulation: the oracle of every simulated operator."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from small_graphs import finished, new_graph

from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.quantization.windows import Window
from keras_vrnn.tflite.running.simulator import _Simulation

# Fused activations of the schema, by turns.
ACTIVATIONS = [
    getattr(schema.ActivationFunctionType, name) for name in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
]
_ARENA = 1 << 21


class Draws:
    """Random integers and formats of one type, from a seed.

    Args:
        seed: an integer.
        dtype: int8 or int16.
    """

    def __init__(self, seed, dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(dtype)
        self.seed = seed

    def values(self, *shape):
        """Integers over the whole range of the type."""
        limits = np.iinfo(self.dtype)
        return self.rng.integers(limits.min, limits.max + 1, shape).astype(self.dtype)

    def weights(self, *shape):
        return self.rng.integers(-127, 128, shape).astype(np.int8)

    def between(self, low, high):
        """2 to a power between two."""
        return float(2.0 ** self.rng.uniform(low, high))

    def format(self, scale=None):
        """A format with a scale, or a random one, and a random zero point."""
        scale = self.between(-14, 2) if scale is None else scale
        zero_point = int(self.rng.integers(-128, 128)) if self.dtype == np.int8 else 0
        return Quantization(float(np.float32(scale)), zero_point)

    def largest(self):
        """The largest integer of the type."""
        return float(np.iinfo(self.dtype).max)

    def activation(self):
        return ACTIVATIONS[self.seed % 4]


def window(draws):
    """Returns the size of a random image and a random `Window`; every second image has height 1, as over time."""
    flat = draws.seed % 2 == 0
    image = (1 if flat else int(draws.rng.integers(4, 8)), int(draws.rng.integers(5, 12)))
    size = (1 if flat else int(draws.rng.integers(1, 4)), int(draws.rng.integers(1, 4)))
    stride = tuple(map(int, draws.rng.integers(1, 4, 2)))
    dilation = (1, 1) if draws.seed % 3 else (1 if flat else 2, 2)
    return image, Window(size, stride, dilation, draws.seed % 4 < 2)


def movement(w):
    """Returns the options by which an operator moves a window."""
    return {
        "padding": schema.Padding.SAME if w.same else schema.Padding.VALID,
        "strideH": w.stride[0],
        "strideW": w.stride[1],
    }


def options(name, **fields):
    """Options of the schema, e.g. options("Pool2D", strideH=1)."""
    made = getattr(schema, f"{name}OptionsT")()
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def pack(file, graph, index):
    """Stores a constant in int4, two values per byte, the lower half first."""
    tensor = graph.subgraph.tensors[index]
    values = graph.data(index).ravel().view(np.uint8) & 0xF
    values = np.append(values, np.zeros(values.size % 2, np.uint8))
    tensor.type, tensor.buffer = schema.TensorType.INT4, file.buffer(values[::2] | (values[1::2] << 4))


def both(path, name, inputs, shape, dtype, target=None, settings=None):
    """Runs one operator in TFLite Micro and in the simulation.

    Args:
        path: where to write the file.
        name: the operator's name in the schema.
        inputs: (array, format or None) of each input, or (array, format, True) for a constant, or (array, format,
            "int4") for one that the file holds in four bits.
        shape, dtype, target: shape, type and format of the result.
        settings: the operator's options.

    Returns:
        The two results, as integers.
    """
    from tflite_micro.python.tflite_micro import runtime  # type: ignore[import-untyped]

    file, graph = new_graph()
    tensors, computed = [], []
    for k, (array, form, *constant) in enumerate(inputs):
        tensors.append(graph.tensor(f"x{k}", array.shape, array.dtype, form, array if constant else None))
        if constant == ["int4"]:
            pack(file, graph, tensors[-1])
        if not constant:
            computed.append((tensors[-1], array))
    result = graph.tensor("y", shape, dtype, target)
    graph.operator(name, tensors, [result], settings)
    content = finished(file, [tensor for tensor, _ in computed], [result])
    path.write_bytes(content)
    simulation = _Simulation(path)
    for (_, array), detail in zip(computed, simulation.inputs.values(), strict=True):
        simulation.set(detail, array)
    # First, since what it refuses may crash the interpreter.
    simulation.invoke()
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=_ARENA)
    for k, (_, array) in enumerate(computed):
        interpreter.set_input(array, k)
    interpreter.invoke()
    (detail,) = simulation.outputs.values()
    return interpreter.get_output(0), simulation.get(detail)


def assert_equal(*arguments, **named):
    """`both` must be equal in every integer."""
    micro, ours = both(*arguments, **named)
    np.testing.assert_array_equal(ours, micro)
    assert ours.dtype == micro.dtype

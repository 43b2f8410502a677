"""Layers converted with stated ranges: every point gets a format of its own, by which it is recognized in the file."""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.tflite.exporting import stated_ranges
from keras_vrnn.tflite.exporting.capture.substitutes import plain_layers
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

TANH = {"int8": Quantization(1 / 128), "int16x8": Quantization(1 / 32768)}
UNIT = {"int8": Quantization(1 / 256, -128), "int16x8": Quantization(1 / 32768)}  # of sigmoid and softmax
# Largest error of an output relative to its range: five int8 steps of about 1/255 for a sum of a few rounded signals
# and weights; int16x8 has int8 weights too, so half as much.
BARS = {"int8": 0.02, "int16x8": 0.01}
# Formats that a kernel sets, of values without a mark.
_OTHERS = {
    ("int8", Quantization(1 / 128)): "unit",
    ("int8", Quantization(1 / 256, -128)): "unit",
    ("int8", Quantization(1 / 16, 127)): "log",
    ("int16", Quantization(1 / 32768)): "unit",
}
DTYPES = {"int8": np.dtype("int8"), "int16x8": np.dtype("int16")}


def rounded_up(scale, bits):
    """The smallest number of `bits` mantissa bits that is not below `scale`."""
    mantissa, exponent = np.frexp(scale)
    return np.ldexp(np.ceil(mantissa * 2.0**bits), exponent - bits)


def format_over(low, high, quantization):
    """A format over a range whose ends are exact in float32."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if quantization == "int16x8":
        return Quantization(float(rounded_up(max(high, -low, 1e-3) / 32767, 9)))
    scale = float(rounded_up(max(high - low, 1e-3) / 255, 16))
    return Quantization(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


class Case:
    """A function of float inputs, its marked tensors, and the integer file made of it.

    Args:
        function: Takes (mark, *inputs) and returns outputs; `mark(name, tensor)` returns the marked tensor.
        inputs: For each input a shape; an input of tokens is (shape, n).
        model: A model whose layers the function calls, for the plain forms of the export.
        fixed: Name of a mark -> its format, instead of one over the values.
        weights: The stated weights.
    """

    def __init__(self, function, inputs, quantization, model=None, fixed=None, weights=()):
        self.quantization, self.dtype = quantization, DTYPES[quantization]
        tokens = [isinstance(shape[0], tuple) for shape in inputs]
        self.specs = [
            tf.TensorSpec(shape[0] if is_token else shape, tf.int32 if is_token else tf.float32, f"v{k}")
            for k, (shape, is_token) in enumerate(zip(inputs, tokens, strict=True))
        ]
        rng = np.random.default_rng(5)
        self.input_formats = [
            shape[1] if is_token else format_over(-1 - 0.011 * k, 1.01 + 0.013 * k, quantization)
            for k, (shape, is_token) in enumerate(zip(inputs, tokens, strict=True))
        ]
        self.samples = [
            [
                rng.integers(0, held, spec.shape).astype(np.int32)
                if isinstance(held, int)
                else rng.uniform(*span(held, self.dtype), spec.shape).astype(np.float32)
                for held, spec in zip(self.input_formats, self.specs, strict=True)
            ]
            for _ in range(20)
        ]
        self._function, self._model, self.weights = function, model, weights
        self.formats = {f"x{k}": f for k, f in enumerate(self.input_formats) if not isinstance(f, int)}
        for k, (name, (low, high)) in enumerate(self._ranges().items()):
            wide = 1.1 + 0.007 * k  # a margin, and formats that differ
            chosen = (fixed or {}).get(name)
            self.formats[name] = chosen or format_over(wide * low, wide * high, quantization)
        self._content = None

    def _traced(self, mark, results=lambda outputs: outputs):
        """The function with `mark`; `results(outputs)` are what the traced function returns."""

        def body(*values):
            values = [
                mark(f"x{k}", value) if f"x{k}" in self.formats else value for k, value in enumerate(values)
            ]
            return results(self._function(mark, *values))

        forms = plain_layers(self._model, self.quantization, lambda mask: tf.cast(mask, tf.float32))
        with forms if self._model is not None else contextlib.nullcontext():
            return tf.function(body, input_signature=self.specs, autograph=False).get_concrete_function()

    def _ranges(self):
        """Name of each mark -> the range of its values on the samples."""
        noted = {}

        def mark(name, tensor):
            noted[name] = tensor
            return tensor

        probe = self._traced(mark, lambda outputs: list(noted.values()))
        made = zip(*[probe(*map(tf.constant, arrays)) for arrays in self.samples], strict=True)
        return {
            name: (float(np.min(values)), float(np.max(values)))
            for name, values in zip(noted, map(np.stack, made), strict=True)
            if name not in self.formats
        }

    def convert(self):
        """The bytes of the integer file."""
        if self._content is None:

            def mark(name, tensor):
                return stated_ranges.mark(tensor, self.formats[name], self.quantization)

            self._content = stated_ranges.convert(self._traced(mark), self.quantization, self.weights)
        return self._content

    @property
    def main(self):
        return ModelFile(self.convert()).main

    def name_of(self, main, index):
        """The point whose format a tensor has; "w", "b", "#" for weights, biases, other constants."""
        quantization = main.quantization(index)
        if quantization is None:
            return None
        known = {
            f"x{k}": f for k, f in enumerate(self.input_formats) if not isinstance(f, int)
        } | self.formats
        for name, stated in known.items():
            if np.ndim(quantization.scale) == 0 and (
                np.float32(quantization.scale) == np.float32(stated.scale)
                and quantization.zero_point == stated.zero_point
                and main.dtype(index) == self.dtype
            ):
                return f"#{name}" if main.data(index) is not None else name
        if main.data(index) is None:
            return _OTHERS.get((main.dtype(index).name, quantization), "row")
        return {"int32": "b", "int64": "b"}.get(
            main.dtype(index).name, "#" if main.dtype(index) == self.dtype else "w"
        )

    def operators(self):
        """Each operator of the file as "NAME(operands) result"."""
        main = self.main
        lines = []
        for operator in main.subgraph.operators:
            names = [self.name_of(main, int(index)) for index in operator.inputs if int(index) >= 0]
            if main.file.operator_name(operator) in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
                names[1] = "w"
            activation = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
            fused = {0: "", 1: "+relu", 3: "+relu6"}[activation]
            operands = ", ".join(name for name in names if name)
            results = ", ".join(str(self.name_of(main, int(index))) for index in operator.outputs)
            lines.append(f"{main.file.operator_name(operator)}{fused}({operands}) {results}")
        return lines

    def run(self, arrays):
        """The real outputs of the file for real inputs."""
        main = self.main
        interpreter = Interpreter(
            model_content=self.convert(),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        for index, array in zip(map(int, main.subgraph.inputs), arrays, strict=True):
            held = main.quantization(index)
            if held is not None:
                info = np.iinfo(main.dtype(index))
                array = np.clip(np.round(array / held.scale) + held.zero_point, info.min, info.max)
            interpreter.set_tensor(index, np.asarray(array).astype(main.dtype(index)))
        interpreter.invoke()
        made = []
        for index in map(int, main.subgraph.outputs):
            values, held = interpreter.get_tensor(index), main.quantization(index)
            made.append(
                values if held is None else held.scale * (values.astype(np.float64) - held.zero_point)
            )
        return made

    def errors(self):
        """For each output, the largest error relative to its range with zero."""
        made = zip(*map(self.run, self.samples), strict=True)
        floats = self._traced(lambda name, tensor: tensor)
        expected = zip(*[floats(*map(tf.constant, arrays)) for arrays in self.samples], strict=True)
        errors = []
        for one, other in zip(map(np.stack, made), map(np.stack, expected), strict=True):
            reach = max(np.max(other), 0) - min(np.min(other), 0)
            errors.append(float(np.abs(one - other).max() / reach))
        return errors


def randomized(*layers):
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.set_weights(
            [
                (
                    rng.uniform(0.5, 2, v.shape) if "variance" in v.path else rng.normal(size=v.shape) / 2
                ).astype("f")
                for v in layer.weights
            ]
        )


def built(layer, shape):
    """A layer with random weights for inputs of a shape."""
    layer.build((1, *shape))
    randomized(layer)
    return layer


def one_layer(layer, shape, quantization, **options):
    """A case of one layer; its result is the mark "y"."""
    model = keras.Sequential([keras.Input(shape), layer])
    randomized(layer)
    return Case(lambda mark, x: [mark("y", layer(x))], [(1, *shape)], quantization, model, **options)


def chain(*layers, shape, quantization, inner=None, **options):
    """A case of layers in a row on one input; the result of each is a point "y0", "y1"..."""
    model = keras.Sequential([keras.Input(shape), *layers])
    randomized(
        *[layer for layer in model._flatten_layers(include_self=False) if not hasattr(layer, "layers")]
    )

    def function(mark, x):
        for k, layer in enumerate(layers):
            x = layer(x, training=False) if isinstance(layer, keras.layers.BatchNormalization) else layer(x)
            x = mark(f"y{k}", x)
        return [x]

    return Case(function, [(1, *shape)], quantization, model, **options)


def check(case, *operators):
    """The file has these operators, computes about what the function does, and its inputs and outputs are in order."""
    assert case.operators() == list(operators)
    assert max(case.errors()) <= BARS[case.quantization]

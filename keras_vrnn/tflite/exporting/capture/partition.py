"""Splits a Keras model at its recurrences.

The model is traced without the recurrences of its RNN layers. What remains is one ordinary graph, the *stock* part:
the results of the recurrences are its inputs, their operands are its outputs. The stock converter sees no loop, and
converts everything around the loops at once.

    tokens ──► stock ──► x, mask ──► recurrence ──► h ──► stock ──► probability

Needs the TensorFlow backend.
"""

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers.interception import recurrences_replaced
from keras_vrnn.models import structure
from keras_vrnn.tflite.exporting.capture import masks
from keras_vrnn.tflite.exporting.capture.observation import emitted, zeroes_last
from keras_vrnn.tflite.exporting.capture.substitutes import no_dropout, plain_layers, trained_layers
from keras_vrnn.tflite.exporting.parts import Mask, Partition, Recurrence
from keras_vrnn.tflite.exporting.recurrences import cell_of, exported_layers

# Operations that return their operand: the latter marks a number format.
_SAME = ("Identity", "FakeQuantWithMinMaxArgs")


class _Trace:
    """The state of a trace: the names of the values, and which part makes and reads each of them.

    Names inside the model contain a slash, which Keras allows in no name of an input.
    """

    def __init__(self):
        self.names = {}  # tensor's name in the graph -> name of the value
        self.stock_outputs = {}  # name -> tensor, for the values that the stock part makes
        self.masks = {}
        self.numbers = {}
        self.recurrences = []
        self.outputs = {}

    def define(self, name, tensor):
        self.names[tensor.name] = name

    def use(self, tensor):
        """Returns the name of a value; the stock part makes every value without a name."""
        tensor = self._origin(tensor)
        if tensor.name not in self.names:
            name = f"stock/{len(self.stock_outputs)}"
            self.define(name, tensor)
            self.stock_outputs[name] = tensor
        return self.names[tensor.name]

    def _origin(self, tensor):
        """Returns the tensor with a name that a tensor stands for, or the tensor itself, without identities."""
        named = tensor
        while named.name not in self.names and named.op.type in _SAME:
            named = named.op.inputs[0]
        if named.name in self.names:
            return named
        while tensor.op.type == "Identity":
            tensor = tensor.op.inputs[0]
        return tensor

    def use_mask(self, mask):
        """Returns the name of a mask; the stock part makes only masks that `writing/masks.py` can't write."""
        found = masks.find(mask)
        if found is None:
            return self.use(mask)
        source, *how = found
        written = Mask(self.use(source), *how)
        name = f"{written.source}/mask" + ("_backwards" if written.backwards else "")
        if self.masks.setdefault(name, written) != written:  # another value of the same source
            return self.use(mask)
        return name

    def number(self, mask, values):
        """Returns a mask (B, T) as 1.0 and 0.0; for the mask of an input, as an input of the stock part."""
        found = masks.find(mask)
        if found is not None and self.names.get(found[0].name) in values:
            name = f"{self.use_mask(mask)}/number"
            self.numbers[name] = name.removesuffix("/number")
            if name in values:
                return values[name]
        return tf.cast(mask, tf.float32)

    def is_zero(self, tensor):
        """Whether a tensor is a constant zero; a named value never is, whatever replaces it in the trace."""
        value = None if tensor.name in self.names else tf.get_static_value(tensor)
        return value is not None and not np.any(value)


def partition(model, inputs, calls, quantization, trained=None):
    """Splits `model` into its recurrences and the stock part around them.

    Args:
        model: A built Keras model.
        inputs: Input name -> tf.TensorSpec with static shape, including the batch size of the export.
        calls: The result of `observe` on data with the same number of time steps.
        quantization: A key of `SCHEMES`; it decides the form of some layers.
        trained: Of a quantization-aware model, its `Trained`.

    Returns:
        A `Partition`.

    Raises:
        ValueError: An input is declared float, but the model reads only its integer part.
    """
    batch = next(iter(inputs.values())).shape[0]
    placeholders = dict(inputs)
    for k, call in enumerate(calls):
        names = _result_names(_unique_name(k, call), call.layer)
        for name, value in zip(names, (call.sequence, *call.finals), strict=True):
            if value is not None:
                placeholders[name] = tf.TensorSpec((batch, *value.shape[1:]), tf.float32)
    trace = _Trace()

    def traced(values, left_out=()):
        nonlocal trace
        trace = _Trace()
        for name, value in values.items():
            trace.define(name, value)

        def cut(layer, _, sequences, initial_state, mask):
            name = _unique_name(len(trace.recurrences), calls[len(trace.recurrences)])
            recurrence = _recurrence(name, layer, trace, sequences, initial_state, mask)
            trace.recurrences.append(recurrence)
            made = {key: values[key] for key in recurrence.results}
            if trained is not None:
                formats = trained.state_formats(len(trace.recurrences) - 1)
                made = {
                    key: trained.mark(made[key], formats[state]) for key, state in recurrence.results.items()
                }
            # Nothing reads a result that the layer does not return: any tensor will do.
            finals = [
                made.get(key, start) for key, start in zip(recurrence.finals, initial_state, strict=True)
            ]
            final = finals[0]
            sequence = made.get(recurrence.sequence, final)
            last = final
            if mask is not None and zeroes_last(layer):
                counts = trace.number(mask, values)
                last = final * (counts[:, :1] if layer.go_backwards else counts[:, -1:])
            return last, sequence, finals

        with (
            recurrences_replaced(exported_layers(model), cut),
            plain_layers(model, quantization, lambda mask: trace.number(mask, values)),
            trained_layers(trained),
            no_dropout(exported_layers(model)),
        ):
            made = structure.call(model, [values[name] for name in inputs])
        names = structure.output_names(model, made, taken=inputs)
        for name, output in zip(names, keras.tree.flatten(made), strict=True):
            trace.outputs[name] = trace.use(output)
        return [tensor for name, tensor in trace.stock_outputs.items() if name not in left_out]

    # Only a trace shows which masks the stock part reads as numbers; they become inputs of the next trace.
    tf.function(lambda: traced(_zeros(placeholders)), autograph=False).get_concrete_function()
    steps = {name: inputs[trace.masks[mask].source].shape[:2] for name, mask in trace.numbers.items()}
    placeholders |= {name: tf.TensorSpec(shape, tf.float32) for name, shape in steps.items()}
    whole = _trace_function(traced, placeholders, placeholders)
    constants = _constants(whole, placeholders, list(trace.stock_outputs))
    used = _used(whole, placeholders)
    stock = _trace_function(lambda values: traced(values, left_out=constants), placeholders, used)
    stock_outputs = [name for name in trace.stock_outputs if name not in constants]
    _refuse_float_tokens({name: t for name, t in zip(used, stock.inputs, strict=False) if name in inputs})
    return Partition(
        inputs=dict(inputs),
        masks=trace.masks,
        numbers={name: mask for name, mask in trace.numbers.items() if name in used},
        outputs=trace.outputs,
        recurrences=trace.recurrences,
        stock=stock if stock_outputs else None,
        stock_inputs=used,
        stock_outputs=stock_outputs,
        constants=constants,
    )


def _zeros(specs):
    return {name: tf.zeros(spec.shape, spec.dtype) for name, spec in specs.items()}


def _trace_function(function, specs, kept):
    """Traces a function of name -> value with the values in `kept` as arguments; the others are zeros.

    The converter may drop an argument that nothing reads, or keep it, so every argument must be read.
    """

    def body(*values):
        return function(_zeros(specs) | dict(zip(kept, values, strict=True)))

    # Numbers, because TensorFlow changes some names that a user may choose.
    signature = [tf.TensorSpec(specs[n].shape, specs[n].dtype, f"value_{k}") for k, n in enumerate(kept)]
    return tf.function(body, input_signature=signature, autograph=False).get_concrete_function()


def _used(concrete, names):
    """Returns the names of the arguments of a traced function that its outputs depend on."""
    needed = operations_behind(concrete.outputs)
    return [name for name, argument in _arguments(concrete, names) if argument.op.name in needed]


def _constants(concrete, specs, names):
    """Returns name -> array for the outputs of a traced function that depend on no argument."""
    arguments = {argument.op.name for _, argument in _arguments(concrete, specs)}
    constant = [
        name
        for name, output in zip(names, concrete.outputs, strict=True)
        if arguments.isdisjoint(operations_behind([output]))
    ]
    if not constant:
        return {}
    computed = dict(zip(names, concrete(*_zeros(specs).values()), strict=True))
    return {name: computed[name].numpy() for name in constant}


def _arguments(concrete, names):
    """Pairs the names with the tensors of the arguments, which come before the captured ones."""
    return zip(names, concrete.inputs[: len(names)], strict=True)


def operations_behind(tensors):
    """Returns the names of the operations that the tensors depend on; a layer may leave other ones in a graph."""
    needed, waiting = set(), [tensor.op for tensor in tensors]
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs]
    return needed


def _refuse_float_tokens(inputs):
    for name, tensor in inputs.items():
        readers = tensor.consumers()
        if tensor.dtype.is_floating and all(
            op.type == "Cast" and op.outputs[0].dtype.is_integer for op in readers
        ):
            raise ValueError(
                f"`model` must declare inputs that it reads as integers with an integer dtype. Received: input "
                f"{name!r} of {tensor.dtype.name}. Declare it with keras.Input(..., dtype='int32')."
            )


def _result_names(name, layer):
    """Returns the names of all outputs of a recurrence and of its last states."""
    others = range(1, len(keras.tree.flatten(layer.cell.state_size)))
    return f"{name}/sequence", f"{name}/final", *(f"{name}/final_{k}" for k in others)


def _recurrence(name, layer, trace, sequences, initial_state, mask):
    all_outputs, *last_states = _result_names(name, layer)
    sequence, finals = emitted(layer, all_outputs, last_states)
    return Recurrence(
        name=name,
        layer=layer.name,
        cell=cell_of(layer),
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
        timesteps=int(sequences.shape[1]),
        x=trace.use(sequences),
        mask=None if mask is None else trace.use_mask(mask),
        initial_states=tuple(None if trace.is_zero(state) else trace.use(state) for state in initial_state),
        sequence=sequence,
        finals=finals,
    )


def _unique_name(index, call):
    return f"{call.layer.name}_{index}"

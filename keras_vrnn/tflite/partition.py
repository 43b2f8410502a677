"""Splits a Keras model at its vanilla recurrences.

A model is run with the recurrence of its RNN layers taken out: what remains is one ordinary graph, the
*stock* part, in which the result of each recurrence is an input and its operands are outputs. The stock
converter never sees a loop, and it converts everything around the loops in one go.

    tokens ──► stock ──► x, mask ──► recurrence ──► h ──► stock ──► probability

Needs the TensorFlow backend.
"""

import contextlib
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.layers import VanillaRNN

_RECURRENT_CELLS = (keras.layers.SimpleRNNCell,)


@dataclass(frozen=True)
class Recurrence:
    """One vanilla recurrence h_t = φ(x_t·W_x + h_{t-1}·W_h + b) and the values it reads and makes.

    `x`, `mask` and `initial_state` name the values read (the latter two may be None); `sequence` and
    `final` name the values made, those that the layer hands on.
    """

    name: str
    kernel: np.ndarray  # (features, units)
    recurrent_kernel: np.ndarray  # (units, units)
    bias: np.ndarray  # (units,)
    activation: str
    go_backwards: bool
    zero_output_for_mask: bool
    timesteps: int
    x: str
    mask: str | None
    initial_state: str | None
    sequence: str | None
    final: str | None

    @property
    def units(self):
        return self.recurrent_kernel.shape[0]


@dataclass(frozen=True)
class Partition:
    """A model as a graph of named values: `stock` makes some of them, the recurrences the others."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, str]  # output name -> value
    recurrences: list[Recurrence]
    stock: tf.types.experimental.ConcreteFunction | None
    stock_inputs: list[str]
    stock_outputs: list[str]


@dataclass
class _Call:
    """What one call of a layer's recurrence read and made."""

    layer: keras.layers.Layer
    x: object
    mask: object
    initial_state: object
    sequence: object = None
    final: object = None


@contextlib.contextmanager
def _substituted(layers, method, substitute):
    """Lets `substitute(layer, original)` stand in for a method of each of the layers."""
    layers = list(layers)
    # object.__setattr__: the substitution is ours alone, Keras' attribute tracking must not see it.
    for layer in layers:
        object.__setattr__(layer, method, substitute(layer, getattr(layer, method)))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, method)


def _recurrences_replaced(model, replacement):
    """Lets `replacement(layer, original, ...)` stand in for the recurrence of every vanilla RNN layer."""

    def substitute(layer, original):
        def inner_loop(sequences, initial_state, mask, training=False):
            return replacement(layer, original, sequences, initial_state, mask)

        return inner_loop

    return _substituted(filter(is_vanilla_rnn, layers_of(model)), "inner_loop", substitute)


def _plain_embeddings(model):
    """Lets every Embedding be one GATHER.

    Keras counts a negative token from the table's end, which takes three more operators, one of them
    unknown to TFLite Micro. No vocabulary has negative tokens.
    """

    def substitute(layer, original):
        def call(inputs):
            table = tf.convert_to_tensor(layer.embeddings)
            return tf.cast(tf.gather(table, tf.cast(inputs, tf.int32)), layer.compute_dtype)

        return call

    # Not subclasses: their call may be another.
    embeddings = (layer for layer in layers_of(model) if type(layer) is keras.layers.Embedding)
    return _substituted(embeddings, "call", substitute)


def is_vanilla_rnn(layer):
    """Tells whether a layer is a vanilla RNN over a sequence, ours or Keras'."""
    return isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, _RECURRENT_CELLS)


def layers_of(model):
    """Yields every layer of a model, those inside nested models and wrappers included."""
    return (layer for layer in model._flatten_layers(include_self=False))


def with_integer_tokens(model):
    """Gives int32 inputs to a model whose float inputs are token ids: those that an Embedding reads.

    Keras declares inputs float32 unless told otherwise. A float token id would be quantized away.
    """
    tables = [layer for layer in layers_of(model) if isinstance(layer, keras.layers.Embedding)]
    read = {id(tensor) for layer in tables for tensor in keras.tree.flatten(layer.input)}
    tokens = [id(t) in read and "float" in t.dtype for t in model.inputs]
    if not any(tokens):
        return model
    inputs = [
        keras.Input(batch_shape=t.shape, dtype="int32" if is_token else t.dtype, name=t.name)
        for t, is_token in zip(model.inputs, tokens, strict=True)
    ]
    return keras.models.clone_model(model, input_tensors=inputs, clone_function=lambda layer: layer)


def observe(model, x):
    """Runs the model on `x` and returns what every recurrence read and made, in order of call.

    Args:
        model: a Keras model.
        x: list of arrays, one an input, each with the batch axis first.

    Returns:
        A list of calls with NumPy arrays `x` (B,T,F), `mask` (B,T) or None, `initial_state` (B,U),
        `sequence` (B,T,U) or None and `final` (B,U) or None.
    """
    calls = []

    def record(layer, original, sequences, initial_state, mask):
        last, outputs, states = original(sequences, initial_state, mask)
        sequence, final = _emitted(layer, outputs, states[0])
        arrays = [None if v is None else np.asarray(v) for v in (sequences, mask, initial_state[0])]
        calls.append(_Call(layer, *arrays, *(None if v is None else np.asarray(v) for v in (sequence, final))))
        return last, outputs, states

    with _recurrences_replaced(model, record):
        model(x if len(x) > 1 else x[0], training=False)
    return calls


def _emitted(layer, sequence, final):
    """Keeps those of a layer's two possible results that it hands on."""
    needs_final = not layer.return_sequences or layer.return_state
    return (sequence if layer.return_sequences else None), (final if needs_final else None)


@dataclass
class _Trace:
    """Names of values while the model is traced, and the list of those that the stock part makes."""

    names: dict = field(default_factory=dict)  # id of tensor -> (name, tensor kept alive)
    stock_outputs: list = field(default_factory=list)

    def define(self, name, tensor):
        self.names[id(tensor)] = (name, tensor)

    def use(self, tensor):
        """Returns the name of a value; one without a name is made by the stock part."""
        if id(tensor) not in self.names:
            self.define(f"stock_{len(self.stock_outputs)}", tensor)
            self.stock_outputs.append(tensor)
        return self.names[id(tensor)][0]

    def is_zero(self, tensor):
        """Tells whether a tensor is a constant zero; a named value is none, whatever stands in for it."""
        value = None if id(tensor) in self.names else tf.get_static_value(tensor)
        return value is not None and not np.any(value)


def partition(model, inputs, calls):
    """Splits `model` into its recurrences and the stock part around them.

    Args:
        model: a Keras model, built.
        inputs: input name -> tf.TensorSpec with static shape; the batch it is exported for included.
        calls: what `observe` returned for data of the same number of time steps.

    Returns:
        A `Partition`.
    """
    batch = next(iter(inputs.values())).shape[0]
    placeholders = dict(inputs)
    for k, call in enumerate(calls):
        for kind in ("sequence", "final"):
            value = getattr(call, kind)
            if value is not None:
                name = f"{_unique_name(k, call)}_{kind}"
                placeholders[name] = tf.TensorSpec((batch, *value.shape[1:]), tf.float32, name=name)
    result = {}

    def traced(**values):
        trace = _Trace()
        for name, value in values.items():
            trace.define(name, value)
        recurrences = []

        def cut(layer, original, sequences, initial_state, mask):
            name = _unique_name(len(recurrences), calls[len(recurrences)])
            sequence = values.get(f"{name}_sequence")
            final = values.get(f"{name}_final")
            recurrences.append(_recurrence(name, layer, trace, sequences, initial_state[0], mask))
            # A result that the layer does not hand on is never read: any tensor will do.
            final_or_any = initial_state[0] if final is None else final
            return final_or_any, (sequence if sequence is not None else final_or_any), [final_or_any]

        with _recurrences_replaced(model, cut), _plain_embeddings(model):
            arguments = [values[name] for name in inputs]
            outputs = keras.tree.flatten(model(arguments if len(arguments) > 1 else arguments[0], training=False))
        result["outputs"] = {
            name: trace.use(o) for name, o in zip(_output_names(model, outputs), outputs, strict=True)
        }
        result["recurrences"] = recurrences
        result["stock_outputs"] = [f"stock_{i}" for i in range(len(trace.stock_outputs))]
        return trace.stock_outputs

    stock, used = _trace_with_used_inputs(traced, placeholders)
    return Partition(
        inputs=dict(inputs),
        outputs=result["outputs"],
        recurrences=result["recurrences"],
        stock=stock if result["stock_outputs"] else None,
        stock_inputs=used,
        stock_outputs=result["stock_outputs"],
    )


def _trace_with_used_inputs(function, specs):
    """Traces `function` with only those arguments that the graph reads; the others are zeros.

    The converter would drop or keep an input that nothing reads as it likes; so it gets none.
    """

    def trace(kept):
        def body(*values):
            given = dict(zip(kept, values, strict=True))
            return function(
                **{n: given[n] if n in given else tf.zeros(s.shape, s.dtype) for n, s in specs.items()}
            )

        signature = [tf.TensorSpec(specs[n].shape, specs[n].dtype, name=n) for n in kept]
        return tf.function(body, input_signature=signature, autograph=False).get_concrete_function()

    names = list(specs)
    concrete = trace(names)
    arguments = concrete.inputs[: len(names)]
    used = [name for name, argument in zip(names, arguments, strict=True) if argument.consumers()]
    return (concrete if used == names else trace(used)), used


def _recurrence(name, layer, trace, sequences, initial_state, mask):
    cell = layer.cell
    sequence, final = _emitted(layer, f"{name}_sequence", f"{name}_final")
    with tf.init_scope():  # out of the trace: the weights' values, not tensors of the graph
        kernel, recurrent_kernel = (np.asarray(w, np.float32) for w in (cell.kernel, cell.recurrent_kernel))
        bias = np.zeros(cell.units, np.float32) if cell.bias is None else np.asarray(cell.bias, np.float32)
    return Recurrence(
        name=name,
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        activation=getattr(cell.activation, "__name__", repr(cell.activation)),
        go_backwards=layer.go_backwards,
        # VanillaRNN zeroes its outputs after the recurrence, so there the stock part does it.
        zero_output_for_mask=layer.zero_output_for_mask and not isinstance(layer, VanillaRNN),
        timesteps=int(sequences.shape[1]),
        x=trace.use(sequences),
        mask=None if mask is None else trace.use(mask),
        initial_state=None if trace.is_zero(initial_state) else trace.use(initial_state),
        sequence=sequence,
        final=final,
    )


def _unique_name(index, call):
    return f"{call.layer.name}_{index}"


def _output_names(model, outputs):
    """The model's own names of its outputs, each made unique."""
    names = getattr(model, "output_names", None)
    if not names or len(names) != len(outputs):
        names = ["output"] * len(outputs)
    unique = []
    for name in names:
        taken = sum(name == other for other in names[: len(unique)])
        unique.append(f"{name}_{taken}" if taken else name)
    return unique

"""Measures the gradient flow of a model, again and again with one compiled program (TensorFlow)."""

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn.diagnostics import recurrences
from keras_vrnn.diagnostics.flow import GradientFlow, LayerFlow, decay_of
from keras_vrnn.diagnostics.verdict import GONE
from keras_vrnn.layers.interception import layers_of, recurrent_layers


def gradient_flow(model, x, y, loss=None):
    """‖∂L/∂h_t‖ for every recurrent layer and time step: how far back the network learns.

    The total derivative of the loss by the state h_t: by way of the output at t and of all later steps (Pascanu,
    Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", equations 3 to 5). Vanilla RNNs,
    LSTMs, GRUs (h, not c), both directions of `Bidirectional`, stacks, cells of `RNN([cells])`, nested models. Dropout
    is off; weights and states are left as they are. Memory grows linearly: 32 sequences of 4,000 steps through 64 units
    take about 0.5 GB. Some tens of sequences are enough.

    Args:
        model: a Keras model with recurrent layers; TensorFlow backend.
        x: inputs as for `fit`: an array, or a list or dict of arrays, batch first.
        y: targets as for `fit`.
        loss: name, `keras.losses.Loss` or function (y_true, y_pred) → losses, for a model with one output; by default
            the one that the model was compiled with.

    Returns:
        A `GradientFlow`.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: No loss, no recurrent layer, x and y of different length.
        RuntimeError: The Keras backend is not TensorFlow.

    Example:
    >>> model = keras.Sequential([keras.Input((30, 3)), kv.VanillaRNN(8), keras.layers.Dense(1)])
    >>> x, y = np.ones((4, 30, 3), "float32"), np.ones((4, 1), "float32")
    >>> flow = kv.diagnostics.gradient_flow(model, x, y, loss="mse")
    >>> list(flow.norms.values())[0].shape
    (30,)
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"gradient_flow needs the TensorFlow backend of Keras, received {keras.backend.backend()!r}. Set "
            "KERAS_BACKEND=tensorflow; a saved model loads there."
        )
    return FlowProbe(model, loss).measure(x, y)


class FlowProbe:
    """Measures `gradient_flow` of one model; arguments and errors as there.

    The program is traced at the first batch of a shape and reads the weights as they are, so that training may go on
    between two measurements.
    """

    def __init__(self, model, loss=None):
        if not isinstance(model, keras.Model):
            raise TypeError(f"`model` must be a Keras model, received {type(model).__name__}.")
        if not recurrent_layers(model):
            raise ValueError(
                f"model {model.name!r} has no recurrent layer (keras.layers.RNN or a subclass, such as kv.VanillaRNN): "
                "there is no flow through time to measure."
            )
        self._model = model
        self._loss = _loss(model, loss)
        # Keras needs no AutoGraph, and its code is slow to convert.
        self._run = tf.function(self._trace, autograph=False)
        self._found: list[tuple[str, Any, Any]] = []  # name, layer and cell of each, of the latest trace

    def measure(self, x, y):
        """Returns the `GradientFlow` of a batch."""
        if y is None:
            raise ValueError("`y` must be the targets, an array with a row for each sequence, received None.")
        x, y = (keras.tree.map_structure(tf.convert_to_tensor, value) for value in (x, y))
        _check_batch(x, y)
        if not self._model.built:
            self._model(x, training=False)
        with _states_restored(self._model):
            # The concrete function: called itself, tf.function warns of retracing from the fifth model on.
            loss, figures = self._run.get_concrete_function(x, y)(x, y)
        layers = [
            _layer_flow(name, layer, cell, *(array.numpy() for array in arrays))
            for (name, layer, cell), arrays in zip(self._found, figures, strict=True)
        ]
        return GradientFlow(tuple(layers), float(loss), int(keras.tree.flatten(x)[0].shape[0]))

    def _trace(self, x, y):
        with (
            tf.GradientTape(persistent=True) as tape,
            recurrences.opened(self._model, tape.watch) as found,
        ):
            outputs = self._model(x, training=False)
            self._check_found(found)
            losses = {"whole": self._loss(x, y, outputs)}
            for end, cut in _ends(y, outputs, _mask_of_outputs(found, outputs)).items():
                losses[end] = self._loss(x, *cut)
        backward = _backward_layers(self._model)
        # Bidirectional turns the backward layer's outputs round: the last step that it makes is the first of all.
        ends = ["first" if id(recurrence.layer) in backward else "last" for recurrence in found]
        sources = [[recurrence.epsilon for recurrence in found], [recurrence.outputs for recurrence in found]]
        gradients = {
            name: tape.gradient(loss, sources, unconnected_gradients="zero")
            for name, loss in losses.items()
            if name in ("whole", *ends)
        }
        figures = [
            _norms_and_counts(recurrence, index, gradients["whole"], gradients.get(end, gradients["whole"]))
            for index, (recurrence, end) in enumerate(zip(found, ends, strict=True))
        ]
        # Not the tensors: they belong to this trace.
        self._found = [(recurrence.name, recurrence.layer, recurrence.cell) for recurrence in found]
        return losses["whole"], figures

    def _check_found(self, found):
        if not found:
            raise ValueError(
                f"model {self._model.name!r} calls none of its recurrent layers on (batch, time, features)."
            )
        for recurrence in found:
            if recurrence.epsilon.graph is not tf.compat.v1.get_default_graph():
                raise ValueError(
                    f"layer {recurrence.name!r} is called inside a loop or function of another layer, where its "
                    "states can't be reached. Measure a model of that layer alone."
                )


def _norms_and_counts(recurrence, index, whole, term):
    """Four arrays (batch, steps), in the order of processing: norms by sequence, and which steps count.

    Of the gradient of the whole loss, and of one term of it, by h_t; the mask; of that term by what the layer puts out
    at t. `whole` and `term` hold the gradients of both by all ε, and by all outputs.
    """
    by_state = [_norms(by_epsilon[index][..., recurrence.units]) for by_epsilon, _ in (whole, term)]
    counts = recurrence.mask
    arrays = [*by_state, tf.ones_like(by_state[0], tf.bool) if counts is None else counts]
    if recurrence.layer.go_backwards:
        arrays = [tf.reverse(array, [1]) for array in arrays]
    return [
        *arrays,
        _norms(term[1][index]) if recurrence.layer.return_sequences else tf.zeros_like(arrays[0]),
    ]


def _norms(gradient):
    """By sequence and step, in float64: the square of 1e-30 is no float32."""
    return tf.norm(tf.cast(gradient, tf.float64), axis=-1)


def _layer_flow(name, layer, cell, whole, term, counts, by_output):
    norms = np.sqrt((whole**2).sum(axis=0))
    norms[~counts.any(axis=0)] = np.nan
    if _enters_at_the_start(by_output, counts):
        term, counts = term[:, ::-1], counts[:, ::-1]
    floor = float(np.finfo(_FLOORS.get(layer.compute_dtype, layer.compute_dtype)).tiny)
    return LayerFlow(name, norms, decay_of(term, counts), recurrences.is_gated(cell), floor)


def _enters_at_the_start(by_output, counts):
    """Whether the loss reads what the layer made first, and hardly what it made last.

    So it is with the backward layer of a Bidirectional below a layer of which the last step counts: seen from the
    loss, what that layer made first is nearest.
    """
    rows, steps = np.arange(len(counts)), counts.shape[1]
    first = by_output[rows, np.argmax(counts, axis=1)]
    last = by_output[rows, steps - 1 - np.argmax(counts[:, ::-1], axis=1)]
    return GONE * np.linalg.norm(first) > np.linalg.norm(last)


# NumPy does not know bfloat16, whose exponents are those of float32.
_FLOORS = {"bfloat16": "float32"}


def _loss(model, loss):
    """(x, y, y_pred) → scalar."""
    if loss is None:
        if not model.compiled or model.loss is None:
            raise ValueError(
                f"model {model.name!r} is not compiled with a loss. Compile it, or name the loss: "
                "gradient_flow(model, x, y, loss='mse')."
            )
        return lambda x, y, y_pred: model.compute_loss(x=x, y=y, y_pred=y_pred)
    if len(getattr(model, "outputs", None) or [None]) > 1:
        raise ValueError(
            f"`loss` is for one output, and model {model.name!r} has {len(model.outputs)}: compile the model with a "
            "loss for each, and leave `loss` out."
        )
    function: Any = keras.losses.get(loss)
    if isinstance(function, keras.losses.Loss):
        return lambda x, y, y_pred: function(y, y_pred)
    return lambda x, y, y_pred: _Mean(function, y_pred.dtype)(y, y_pred)


class _Mean(keras.losses.Loss):
    """The mean of a function, over the steps that count."""

    def __init__(self, function, dtype):
        # In float32 the gradient of a float64 model would be rounded on its way.
        super().__init__(name="mean", dtype=keras.backend.result_type(dtype, keras.config.floatx()))
        self._function = function

    def call(self, y_true, y_pred):
        return self._function(y_true, y_pred)


def _check_batch(x, y):
    sizes = {int(leaf.shape[0]) if leaf.shape.rank else None for leaf in keras.tree.flatten((x, y))}
    if len(sizes) != 1 or not all(sizes):
        shapes = [tuple(leaf.shape) for leaf in keras.tree.flatten((x, y))]
        raise ValueError(
            f"`x` and `y` must have the same number of sequences, 1 or more. Received shapes {shapes}."
        )


def _backward_layers(model):
    return {
        id(layer.backward_layer)
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.Bidirectional)
    }


def _mask_of_outputs(found, outputs):
    """The mask of the last recurrence that has as many steps as the outputs, or None."""
    steps = keras.tree.flatten(outputs)[0].shape[1:2]
    masks = [r.mask for r in found if r.mask is not None and r.mask.shape[1:2] == steps]
    return masks[-1] if masks else None


def _ends(y, outputs, mask):
    """Targets and outputs of the last step, and of the first, where there is a target for every step; else {}."""
    pairs = list(zip(keras.tree.flatten(y), keras.tree.flatten(outputs), strict=False))
    for target, output in pairs:
        if len(output.shape) < 3 or len(target.shape) < 2 or target.shape[1] != output.shape[1]:
            return {}
    batch, time = (tf.shape(pairs[0][1])[axis] for axis in (0, 1))
    mask = tf.ones([batch, time], tf.int32) if mask is None else tf.cast(mask, tf.int32)
    at = {"last": time - 1 - tf.argmax(tf.reverse(mask, [1]), axis=1, output_type=tf.int32)}
    at["first"] = tf.argmax(mask, axis=1, output_type=tf.int32)

    def only(positions, tensors):
        return keras.tree.map_structure(
            lambda tensor: tf.gather(tensor, positions[:, tf.newaxis], axis=1, batch_dims=1), tensors
        )

    return {end: (only(positions, y), only(positions, outputs)) for end, positions in at.items()}


@contextlib.contextmanager
def _states_restored(model):
    layers = [layer for layer in recurrent_layers(model) if layer.states is not None]
    before = [[tf.identity(state.value) for state in keras.tree.flatten(layer.states)] for layer in layers]
    try:
        yield
    finally:
        for layer, values in zip(layers, before, strict=True):
            for state, value in zip(keras.tree.flatten(layer.states), values, strict=True):
                state.assign(value)

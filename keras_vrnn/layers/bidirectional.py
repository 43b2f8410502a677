"""Two recurrent layers, one from each end of the sequence."""

import keras

from keras_vrnn import _checks as checks


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Bidirectional(keras.layers.Bidirectional):
    """y_t = merge(forward layer's h_t, backward layer's h_t)

    Bidirectional RNN (Schuster & Paliwal 1997). `keras.layers.Bidirectional`, arguments and weights alike,
    less its faults (Keras 3.15): `return_state` together with `stateful` works, `initial_state` is checked
    where Keras splits a single tensor along the batch, `reset_state` takes states, the mask always goes on to
    the next layer.

    Args:
        layer: A recurrent layer (`VanillaRNN`, `keras.layers.LSTM`, …), copied for the forward direction.
        merge_mode: "concat", "sum", "mul", "ave", or None for the two outputs apart.
        weights: Initial weights, forward then backward.
        backward_layer: Layer for the backward direction, with `go_backwards=True`; by default a copy of `layer`.

    Call arguments:
        sequences, mask, training: See `VanillaRNN`.
        initial_state: List of the forward layer's states, then the backward layer's.

    Returns:
        The merged output (two outputs if `merge_mode` is None); with `return_state`, then the forward layer's
        final states and the backward layer's. As in Keras, outputs of masked steps are zeros with
        `return_sequences`.

    Raises:
        ValueError: `initial_state` or `states` of a wrong number or shape.
    """

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        super().__init__(
            layer, merge_mode=merge_mode, weights=weights, backward_layer=backward_layer, **kwargs
        )
        # Keras 3.16 drops the mask unless this is set.
        self.supports_masking = True

    def call(self, sequences, initial_state=None, mask=None, training=None):
        if initial_state is not None:
            forward, backward = self._split("initial_state", initial_state)
            initial_state = [*forward, *backward]
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_mask(self, inputs, previous_mask):
        mask = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        if self.return_state:
            masks += [None] * (self._state_count(self.forward_layer) + self._state_count(self.backward_layer))
        return masks[0] if len(masks) == 1 else masks

    def reset_state(self, states=None):
        """Sets the states that the next batch starts from, with `stateful=True`.

        Args:
            states: List of the forward layer's states, then the backward layer's; zeros by default.
        """
        if not self.stateful:
            raise ValueError(
                f"{checks.named(self)}: `reset_state` needs a layer with `stateful=True`. Received stateful=False."
            )
        for layer, part in zip(
            (self.forward_layer, self.backward_layer),
            (None, None) if states is None else self._split("states", states),
            strict=True,
        ):
            layer.reset_state(*(() if part is None else (part,)))

    def reset_states(self, states=None):
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    def _split(self, name, states):
        forward, backward = self._state_count(self.forward_layer), self._state_count(self.backward_layer)
        if not isinstance(states, (list, tuple)) or len(states) != forward + backward:
            received = "one tensor"
            if isinstance(states, (list, tuple)):
                received = f"a list of {len(states)}"
            raise ValueError(
                f"{checks.named(self)}: `{name}` must be a list of {forward + backward} tensors, {forward} for "
                f"the forward layer and {backward} for the backward layer. Received {received}."
            )
        return list(states[:forward]), list(states[forward:])

    @staticmethod
    def _state_count(layer):
        sizes = getattr(layer, "state_size", 1)
        return len(keras.tree.flatten(sizes))

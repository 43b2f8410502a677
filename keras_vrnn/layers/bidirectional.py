"""Two recurrent layers, one from each end of the sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn._types import LayerOptions, MergeMode, Tensor
from keras_vrnn.layers import call_checks

if TYPE_CHECKING:
    from typing_extensions import Unpack


@keras.saving.register_keras_serializable(package="keras_vrnn")
class Bidirectional(keras.layers.Bidirectional):
    """A recurrent layer that reads the sequence in both directions.

        y_t = merge(h_t of the forward layer, h_t of the backward layer)

    Bidirectional RNN (Schuster & Paliwal 1997). Arguments and weights are the same as in `keras.layers.Bidirectional`,
    without the bugs of Keras 3.15: `return_state` works together with `stateful`, `initial_state` is checked, where
    Keras splits a single tensor along the batch, `reset_state` takes states, and the mask always reaches the next
    layer.

    Args:
        layer: A recurrent layer (`VanillaRNN`, `keras.layers.LSTM`, …), copied for the forward direction.
        merge_mode: "concat", "sum", "mul", "ave", or None to return the two outputs separately.
        weights: Initial weights, forward then backward.
        backward_layer: Layer for the backward direction, with `go_backwards=True`; by default a copy of `layer`.

    Call arguments:
        sequences, mask, training: See `VanillaRNN`.
        initial_state: List of the forward layer's states, then the backward layer's.

    Returns:
        The merged output, or two outputs if `merge_mode` is None; with `return_state`, then the final states of the
        forward layer and of the backward layer. As in Keras, outputs of masked steps are zeros with
        `return_sequences`.

    Raises:
        ValueError: `initial_state` or `states` has the wrong number of states or a wrong shape.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: MergeMode | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            layer, merge_mode=merge_mode, weights=weights, backward_layer=backward_layer, **kwargs
        )
        # Keras 3.16 drops the mask unless this is set.
        self.supports_masking = True

    def call(
        self, sequences: Tensor, initial_state: Any = None, mask: Tensor = None, training: bool | None = None
    ) -> Any:
        if initial_state is not None:
            forward, backward = self._split("initial_state", initial_state)
            initial_state = [*forward, *backward]
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> Any:
        mask = keras.tree.flatten(previous_mask)[0] if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        if self.return_state:
            masks += [None] * (self._state_count(self.forward_layer) + self._state_count(self.backward_layer))
        return masks[0] if len(masks) == 1 else masks

    def reset_state(self, states: Any = None) -> None:
        """Sets the states that the next batch starts from, with `stateful=True`.

        Args:
            states: List of the forward layer's states, then the backward layer's; zeros by default.
        """
        if not self.stateful:
            raise ValueError(
                f"{call_checks.named(self)}: `reset_state` needs a layer with `stateful=True`. "
                "Received: stateful=False."
            )
        parts = (None, None) if states is None else self._split("states", states)
        for layer, part in zip((self.forward_layer, self.backward_layer), parts, strict=True):
            # Keras' own layers take no argument here.
            layer.reset_state(*(() if part is None else (part,)))

    def reset_states(self, states: Any = None) -> None:
        """Alias of `reset_state`, as in Keras."""
        self.reset_state(states)

    def _split(self, name: str, states: Any) -> tuple[list, list]:
        forward, backward = self._state_count(self.forward_layer), self._state_count(self.backward_layer)
        order = f"{forward} for the forward layer and {backward} for the backward layer"
        states = call_checks.states_list(self, name, states, forward + backward, order)
        return states[:forward], states[forward:]

    @staticmethod
    def _state_count(layer: Any) -> int:
        return len(keras.tree.flatten(getattr(layer, "state_size", 1)))

"""Attention: a decoder reads all outputs of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn._types import LayerOptions, Shape, Tensor
from keras_vrnn.layers import part_constraints

if TYPE_CHECKING:
    from typing_extensions import Unpack

_HIDDEN = -1e9  # e^-1e9 is 0; -inf would give NaN where every step is hidden


@keras.saving.register_keras_serializable(package="keras_vrnn")
class AdditiveAttention(keras.layers.Layer):
    """Additive attention: a weighted mean of the memory for each query.

        e_ts = vᵀ·tanh(W_q·q_t + W_k·m_s)      a_t = softmax over s of e_t      c_t = Σ_s a_ts·m_s

    Bahdanau, Cho & Bengio 2015, sections 3.1 and A.1.2. The query is the decoder's current state, not the previous
    one (as in Luong, Pham & Manning 2015, section 3). The decoder's recurrence can therefore run over the whole
    sequence first, and all steps attend together after it.

    Unlike `keras.layers.AdditiveAttention` it has W_q and W_k, and the keys W_k·m of a memory can be computed once
    for many queries.

    Args:
        units: Size of W_q·q_t + W_k·m_s.

    Call arguments:
        query: q, shape (batch, steps, features).
        memory: m, shape (batch, source steps, features).
        keys: The result of `keys(memory)`, if it was computed before.
        source_mask: Bool, shape (batch, source steps): which steps are visible.

    Returns:
        c, shape (batch, steps, features of the memory).
    """

    def __init__(self, units: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.units = checks.positive_int("units", units)
        self.query_projection = keras.layers.Dense(self.units, name="query", dtype=self.dtype_policy)
        self.key_projection = keras.layers.Dense(
            self.units, use_bias=False, name="key", dtype=self.dtype_policy
        )
        self.energy = keras.layers.Dense(1, use_bias=False, name="energy", dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, query_shape: Shape, memory_shape: Shape, **kwargs: Any) -> None:
        self.query_projection.build(query_shape)
        self.key_projection.build(memory_shape)
        self.energy.build((None, self.units))

    def keys(self, memory: Tensor) -> Any:
        """W_k·m, shape (batch, source steps, units)."""
        return self.key_projection(memory)

    def energies(self, query: Tensor, keys: Tensor) -> Any:
        """e, shape (batch, steps, source steps)."""
        projected = ops.expand_dims(self.query_projection(query), 2)
        return ops.squeeze(self.energy(ops.tanh(projected + ops.expand_dims(keys, 1))), -1)

    def call(self, query: Tensor, memory: Tensor, keys: Tensor = None, source_mask: Tensor = None) -> Any:
        energies = self.energies(query, self.keys(memory) if keys is None else keys)
        if source_mask is not None:
            energies = ops.where(ops.expand_dims(source_mask, 1), energies, _HIDDEN)
        # Written out, because Keras' softmax warns about a source of one step.
        weights = ops.exp(energies - ops.max(energies, axis=-1, keepdims=True))
        return ops.matmul(weights / ops.sum(weights, axis=-1, keepdims=True), memory)

    def compute_output_shape(self, query_shape: Shape, memory_shape: Shape, **kwargs: Any) -> Any:
        return (*query_shape[:-1], memory_shape[-1])

    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, **part_constraints.to_config(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AdditiveAttention:
        return part_constraints.from_config(cls, config)

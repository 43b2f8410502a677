"""Attention: a decoder's look at all outputs of the encoder."""

import keras
from keras import ops

from keras_vrnn import _checks as checks

_HIDDEN = -1e9  # e^-1e9 is 0, and unlike -inf leaves a number where nothing may be seen


@keras.saving.register_keras_serializable(package="keras_vrnn")
class AdditiveAttention(keras.layers.Layer):
    """e_ts = vᵀ·tanh(W_q·q_t + W_k·m_s)      a_t = softmax over s of e_t      c_t = Σ_s a_ts·m_s

    Additive attention (Bahdanau, Cho & Bengio 2015, section 3.1 and A.1.2). Its query is the state that the decoder
    has reached, not the one before it (as in Luong, Pham & Manning 2015, section 3): all steps of the decoder's
    recurrence can then run as one sequence, and attend together after it.

    Unlike `keras.layers.AdditiveAttention` it has W_q and W_k, and the keys W_k·m of a memory can be computed once
    for many queries.

    Args:
        units: Size of the sum that tanh is taken of.

    Call arguments:
        query: q, shape (batch, steps, features).
        memory: m, shape (batch, source steps, features).
        keys: What `keys(memory)` returned, if it was computed before.
        source_mask: Bool, shape (batch, source steps): which steps may be looked at.

    Returns:
        c, shape (batch, steps, features of the memory).
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = checks.positive_int("units", units)
        self.query_projection = keras.layers.Dense(self.units, name="query", dtype=self.dtype_policy)
        self.key_projection = keras.layers.Dense(
            self.units, use_bias=False, name="key", dtype=self.dtype_policy
        )
        self.energy = keras.layers.Dense(1, use_bias=False, name="energy", dtype=self.dtype_policy)
        self.supports_masking = True

    def build(self, query_shape, memory_shape, **kwargs):
        self.query_projection.build(query_shape)
        self.key_projection.build(memory_shape)
        self.energy.build((None, self.units))

    def keys(self, memory):
        """W_k·m, shape (batch, source steps, units)."""
        return self.key_projection(memory)

    def energies(self, query, keys):
        """E, shape (batch, steps, source steps)."""
        projected = ops.expand_dims(self.query_projection(query), 2)
        return ops.squeeze(self.energy(ops.tanh(projected + ops.expand_dims(keys, 1))), -1)

    def call(self, query, memory, keys=None, source_mask=None):
        energies = self.energies(query, self.keys(memory) if keys is None else keys)
        if source_mask is not None:
            energies = ops.where(ops.expand_dims(source_mask, 1), energies, _HIDDEN)
        # Written out: of a source of one step Keras' softmax warns.
        weights = ops.exp(energies - ops.max(energies, axis=-1, keepdims=True))
        return ops.matmul(weights / ops.sum(weights, axis=-1, keepdims=True), memory)

    def compute_output_shape(self, query_shape, memory_shape, **kwargs):
        return (*query_shape[:-1], memory_shape[-1])

    def compute_mask(self, inputs, previous_mask=None):
        return None

    def get_config(self):
        return {**super().get_config(), "units": self.units}

"""Types of arguments that several public functions share.

Keras ships no type stubs. `Tensor` and Keras objects are therefore `Any` to a type checker; what is checked are names
of arguments, numbers, flags and strings.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict

Tensor: TypeAlias = Any  # a tensor of Keras' backend, or an array
Shape: TypeAlias = Any  # a tuple, a list or a TensorShape
# A name, a config, an object or a function, as `keras.<kind>.get` takes them.
Activation: TypeAlias = str | Mapping[str, Any] | Callable[..., Any] | None
KerasObject: TypeAlias = str | Mapping[str, Any] | Callable[..., Any] | None
MergeMode: TypeAlias = Literal["concat", "sum", "mul", "ave"]


class LayerOptions(TypedDict, total=False):
    """Options of every Keras layer."""

    name: str | None
    dtype: Any
    trainable: bool
    autocast: bool


class RecurrenceOptions(TypedDict, total=False):
    """Options of every recurrent layer that a stack or a model applies to each of its layers."""

    activation: Activation
    use_bias: bool
    kernel_initializer: KerasObject
    recurrent_initializer: KerasObject
    bias_initializer: KerasObject
    kernel_regularizer: KerasObject
    recurrent_regularizer: KerasObject
    bias_regularizer: KerasObject
    activity_regularizer: KerasObject
    kernel_constraint: KerasObject
    recurrent_constraint: KerasObject
    bias_constraint: KerasObject
    recurrent_dropout: float
    stateful: bool
    unroll: bool
    zero_output_for_mask: bool


class CellOptions(RecurrenceOptions, total=False):
    """The same with those that only some cells have."""

    alpha_initializer: KerasObject  # "fast"
    beta_initializer: KerasObject
    recurrent_activation: Activation  # "gru", "lstm"
    reset_after: bool  # "gru"
    unit_forget_bias: bool  # "lstm"


class StackOptions(RecurrenceOptions, LayerOptions, total=False):
    """Options of `StackedVanillaRNN`: for each of its layers, and as a layer."""

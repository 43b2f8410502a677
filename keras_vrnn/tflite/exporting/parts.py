"""The parts of a model that `capture` makes and `writing` reads.

Every value that passes between the parts has a name.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from keras_vrnn.tflite.exporting.recurrences.base import Cell

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Recurrence:
    """One recurrence of a model, with the values that it reads and makes.

    Attributes:
        name: A name that is unique in the model.
        layer: The Keras layer's name.
        cell: Its weights and its step.
        go_backwards, zero_output_for_mask: As in the Keras layer.
        timesteps: The length of the sequence.
        x, mask: Names of the values that it reads; the latter may be None.
        initial_states: Names of the values in which its states start; None for zeros.
        sequence: Name of all outputs; None if the layer does not return them.
        finals: Names of the last states; None for one that the layer does not return.
        follows_inputs: Whether it is as long as the inputs, in a model whose time dimension is undefined.
    """

    name: str
    layer: str
    cell: Cell
    go_backwards: bool
    zero_output_for_mask: bool
    timesteps: int
    x: str
    mask: str | None
    initial_states: tuple[str | None, ...]
    sequence: str | None
    finals: tuple[str | None, ...]
    follows_inputs: bool = False

    @property
    def results(self):
        """Name of each value that it makes -> its state, of which all outputs are the first."""
        made = {self.sequence: self.cell.states[0], **dict(zip(self.finals, self.cell.states, strict=True))}
        return {name: state for name, state in made.items() if name is not None}


@dataclass(frozen=True)
class Mask:
    """The mask of `source`: True at steps that differ from `value`, in (B,T), or in any feature of (B,T,F).

    Quantized features are compared as integers: a step that rounds to a masked one is masked.
    """

    source: str
    value: float
    backwards: bool = False  # in reverse order of time, as a layer that goes backwards returns it

    def of(self, source):
        """Returns the mask of an array."""
        mask = source != self.value
        mask = mask if mask.ndim == 2 else mask.any(axis=-1)
        return mask[:, ::-1] if self.backwards else mask


@dataclass(frozen=True)
class Partition:
    """A model as a graph of named values: `stock` makes some of them, the recurrences make the others.

    Attributes:
        inputs: Input name -> tf.TensorSpec of static shape.
        masks: Mask name -> `Mask`.
        numbers: Name of a value of 1.0 and 0.0 that the stock part reads -> the mask that it represents.
        outputs: Output name -> value name.
        recurrences: In the order of the calls.
        stock: Everything else, as one traced function; None if there is nothing else.
        stock_inputs, stock_outputs: Names of the values that it reads and makes.
        constants: Value name -> array, for values that depend on no input.
        states: Name of an initial state that an invoke takes -> recurrence, state, and the name of its last value,
            which the invoke leaves; both in the format in which the recurrence keeps the state.
        timed: Names of the inputs and outputs whose second axis is time, in a model whose time dimension is undefined
            and that is written for another number of steps than the data has, or for any.
    """

    inputs: "dict[str, tf.TensorSpec]"
    masks: dict[str, Mask]
    numbers: dict[str, str]
    outputs: dict[str, str]
    recurrences: list[Recurrence]
    stock: "tf.types.experimental.ConcreteFunction | None"
    stock_inputs: list[str]
    stock_outputs: list[str]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    states: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    timed: frozenset[str] = frozenset()

    @property
    def timesteps(self):
        """The number of time steps of the inputs in `timed`."""
        return next(spec.shape[1] for name, spec in self.inputs.items() if name in self.timed)

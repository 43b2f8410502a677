"""The parts of a model on their way to a file: `capture` makes them, `writing` reads them.

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
    """One recurrence of a model and the values it reads and makes.

    Attributes:
        name: unique in the model.
        layer: the Keras layer's name.
        cell: its weights and its step.
        go_backwards, zero_output_for_mask: as in the Keras layer.
        timesteps: length of the sequence.
        x, mask, initial_state: names of the values read; the latter two may be None.
        sequence, final: names of the values made, all outputs and the last state; None if the layer does not return it.
    """

    name: str
    layer: str
    cell: Cell
    go_backwards: bool
    zero_output_for_mask: bool
    timesteps: int
    x: str
    mask: str | None
    initial_state: str | None
    sequence: str | None
    final: str | None


@dataclass(frozen=True)
class Mask:
    """The mask of `source`: True at the steps where it is other than `value`, (B,T) or in any feature (B,T,F).

    The integers of quantized features are compared: a step that can't be told from a masked one is masked.
    """

    source: str
    value: float
    backwards: bool = False  # in reverse order, as a layer that goes backwards passes it on

    def of(self, source):
        """Returns the mask of an array."""
        mask = source != self.value
        mask = mask if mask.ndim == 2 else mask.any(axis=-1)
        return mask[:, ::-1] if self.backwards else mask


@dataclass(frozen=True)
class Partition:
    """A model as a graph of named values: `stock` makes some of them, the recurrences the others.

    Attributes:
        inputs: input name -> tf.TensorSpec of static shape.
        masks: mask name -> `Mask`.
        numbers: name of a value 1.0 or 0.0 that the stock part reads -> the mask that it stands for.
        outputs: output name -> value.
        recurrences: in the order in which they are called.
        stock: everything else, one traced function; None if there is nothing else.
        stock_inputs, stock_outputs: names of the values that it reads and makes.
        constants: value name -> array, for values that depend on no input.
        states: name of an initial state that an invoke takes -> name of the final state it leaves.
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
    states: dict[str, str] = field(default_factory=dict)

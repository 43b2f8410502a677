"""Writes the input of a file that takes any number of time steps, and what the loops read of it."""

import numpy as np

from keras_vrnn.tflite.exporting.writing import operators as op
from keras_vrnn.tflite.reading import LENGTH


def add_input(main):
    """Returns a new input: the number of time steps, int32 of shape (1,)."""
    return main.tensor(LENGTH, (1,), np.int32)


def at_most(main, length, timesteps):
    """Returns the length, or `timesteps` if it is larger: a loop must not read beyond its tensors."""
    return op.minimum(main, "steps", length, main.constant("most", np.array([timesteps], np.int32)))


def last(main, length, axis):
    """Returns (length − 1) · axis, the position of the last step along the list `axis` of zeros and a one."""
    along = main.constant("axis", np.array(axis, np.int32))
    end = op.multiply(main, "end", along, length, None)
    return op.subtract(main, "last", end, along, None)

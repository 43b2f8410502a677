"""Units that are joined stay or go together."""

import keras
import numpy as np

from keras_vrnn.compression.channels import FIXED, Channels


def test_joined_units_stay_or_go_together():
    channels = Channels()
    first, second, third = (channels.new(3) for _ in range(3))
    channels.join(first, second, "reason")
    channels.join(second[::-1], third, "reason")
    assert channels.count == 10
    np.testing.assert_array_equal(channels.roots(first), channels.roots(second))
    np.testing.assert_array_equal(channels.roots(first), channels.roots(third)[::-1])
    assert len(set(channels.roots(first))) == 3
    kept = set(channels.roots(first[:1]))
    np.testing.assert_array_equal(channels.selection(third, kept), [False, False, True])
    assert not any(len(numbers) for numbers, _ in channels.obstacles)


def test_units_joined_to_entries_that_stay_are_obstructed_with_the_reason():
    channels = Channels()
    units = channels.new(3)
    channels.join(units, np.array([FIXED, units[1], FIXED]), "they are added to inputs")
    ((numbers, reason),) = channels.obstacles
    assert {*numbers} - {FIXED} == {units[0], units[2]}
    assert reason == "they are added to inputs"
    assert FIXED not in channels.roots(units)


def test_a_broadcast_obstructs_all_of_its_units():
    channels = Channels()
    units = channels.new(4)
    channels.join(units, channels.new(1), "one value for all")
    ((numbers, _),) = channels.obstacles
    assert set(units) <= {*numbers}


def test_a_variable_that_reads_two_tensors_joins_their_units():
    channels = Channels()
    kernel = keras.Variable(np.zeros((3, 2)), name="kernel")
    first, second = channels.new(3), channels.new(3)
    channels.mark(kernel, 0, first, reads=True)
    channels.mark(kernel, -2, second, reads=True)
    assert len(channels.axes) == 1
    np.testing.assert_array_equal(channels.roots(first), channels.roots(second))

"""Buffers, views and counters."""

import numpy as np

from keras_vrnn.firmware.buffers import Buffer, Counter, View, new


def test_memory_is_that_of_the_last_buffer_in_a_chain():
    first = Buffer(np.dtype("int8"), 4)
    second = Buffer(np.dtype("int8"), 4, shared=first)
    third = Buffer(np.dtype("int8"), 4, shared=second)
    assert third.memory is first.memory is first


def test_bool_is_stored_as_int8():
    assert Buffer(np.dtype("bool"), 3).stored == np.int8
    assert Buffer(np.dtype("int16"), 3).stored == np.int16


def test_a_view_is_whole_only_if_it_is_all_of_its_buffer():
    view = new((2, 3), "int16")
    assert view.whole
    assert view.size == 6
    assert view.dtype == np.int16
    assert view.reshaped((6,)).whole
    assert not View(view.buffer, (3,)).whole
    assert not View(view.buffer, (2, 3), slope=1).whole


def test_a_counter_grows_by_its_slope():
    counter = Counter(np.array([5, 1]), np.array([-2, 3]))
    assert counter.at(0).tolist() == [5, 1]
    assert counter.at(4).tolist() == [-3, 13]
    assert counter.at(4).dtype == np.int32
    assert counter.reshaped((2, 1)).at(1).shape == (2, 1)

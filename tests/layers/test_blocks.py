"""The recurrence in blocks of steps, as for long sequences, against the float64 oracle and plain autodiff."""

import pytest
from oracle_errors import (
    BASE,
    EVERYTHING,
    NEEDS_TENSORFLOW,
    check_second_derivatives,
    errors_against_oracle,
    tolerance,
)

from keras_vrnn.layers import blocks

pytestmark = pytest.mark.usefixtures("native_off")


def in_blocks_of(size, monkeypatch):
    monkeypatch.setattr(blocks, "block_size", lambda steps: min(size, steps))


# Two and three blocks, a rest, a block and a rest, and less than one block.
@pytest.mark.parametrize("time", [6, 9, 7, 4, 2])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("configuration", [BASE, EVERYTHING, {**EVERYTHING, "unroll": True}])
def test_blocks_of_steps_equal_the_oracle(monkeypatch, configuration, go_backwards, return_sequences, time):
    in_blocks_of(3, monkeypatch)
    changed = {"time": time, "return_sequences": return_sequences, "go_backwards": go_backwards}
    errors = errors_against_oracle({**configuration, **changed})
    assert max(errors.values()) < tolerance(configuration), errors


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("size", [2, 3])  # of 5 steps
@pytest.mark.parametrize("mode", ["eager", "graph", "compiled"])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_second_derivatives_through_blocks_of_steps(monkeypatch, return_sequences, mode, size):
    in_blocks_of(size, monkeypatch)
    check_second_derivatives(monkeypatch, mode, return_sequences)


def test_only_long_sequences_are_cut_and_without_a_rest_where_possible():
    assert [blocks.block_size(steps) for steps in (None, 1, 1023)] == [None, 1, 1023]
    assert [blocks.block_size(steps) for steps in (1024, 2000, 2003)] == [64, 50, 64]

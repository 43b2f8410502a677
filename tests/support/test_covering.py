"""The covering set itself."""

import itertools

import pytest
from covering import covering

SIZES = [(2, 3, 4), (6, 2, 2), (3, 3, 3, 3)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_pair_is_in_a_quick_combination_and_most_combinations_are_slow(sizes):
    axes = [[f"{axis}.{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    made = covering(*axes)
    assert [each.values for each in made] == list(itertools.product(*axes))
    quick = [each.values for each in made if not each.marks]
    found = {pair for values in quick for pair in itertools.combinations(values, 2)}
    for one, other in itertools.combinations(axes, 2):
        assert found >= set(itertools.product(one, other))
    assert len(quick) <= len(made) / 2

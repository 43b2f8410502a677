"""A product of parameters of which a covering set is quick: every pair of values occurs in it; the rest is slow."""

import itertools

import pytest


def covering(*axes):
    """Returns the parameters of all combinations of the values, in order, for `pytest.mark.parametrize`.

    Greedily chosen, so that each quick combination brings the most pairs that those before it lack. Of two axes every
    combination is a pair, and thus quick.
    """
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    pairs = {each: set(itertools.combinations(enumerate(each), 2)) for each in product}
    missing, quick = set().union(*pairs.values()), set()
    while missing:
        best = max(product, key=lambda each: len(pairs[each] & missing))
        quick.add(best)
        missing -= pairs[best]
    return [
        pytest.param(
            *(axis[index] for axis, index in zip(axes, each, strict=True)),
            marks=() if each in quick else pytest.mark.slow,
        )
        for each in product
    ]

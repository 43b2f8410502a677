"""Masks of single parts are in the configuration of the layer that makes them."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.layers import part_constraints


@keras.saving.register_keras_serializable(package="tests")
class Mask(keras.constraints.Constraint):
    """A constraint with the attribute by which training recognizes masks."""

    def __init__(self, rows):
        self.rows = rows
        self.pruning_mask = None

    def __call__(self, w):
        return w

    def get_config(self):
        return {"rows": self.rows}


def stack():
    return kv.StackedVanillaRNN([4, 2], bidirectional=True)


def constraints_of(layer):
    return {w.path.partition("/")[2]: w.constraint for w in layer.weights}


def test_a_layer_without_masks_has_no_entry():
    assert "part_constraints" not in stack().get_config()
    other = kv.StackedVanillaRNN([4, 2], kernel_constraint="non_neg")
    assert "part_constraints" not in other.get_config()


@pytest.mark.parametrize("build_first", [True, False])
def test_every_part_gets_its_own_again(build_first):
    layer = stack()
    layer.build((None, 5, 3))
    second = layer.layers[1].backward_layer.cell
    part_constraints.set_constraint(second, "recurrent_constraint", Mask(7))
    part_constraints.set_constraint(second, "bias_constraint", Mask(8))
    part_constraints.set_constraint(layer.layers[0].forward_layer.cell, "kernel_constraint", Mask(9))
    twin = kv.StackedVanillaRNN.from_config(layer.get_config())
    if not build_first:  # a copy of a copy that was never built
        twin = kv.StackedVanillaRNN.from_config(twin.get_config())
    twin.build((None, 5, 3))
    found = {path: c.rows for path, c in constraints_of(twin).items() if c is not None}
    assert sorted(found.values()) == [7, 8, 9]
    assert found == {path: c.rows for path, c in constraints_of(layer).items() if c is not None}


def test_a_built_layer_has_it_at_once():
    model = kv.EncoderDecoder(9, 9, units=4, attention=3)
    part_constraints.set_constraint(model.get_layer("attention").energy, "kernel_constraint", Mask(1))
    twin = keras.models.clone_model(model)
    assert twin.get_layer("attention").energy.kernel.constraint.rows == 1
    assert np.sum([w.constraint is not None for w in twin.weights]) == 1

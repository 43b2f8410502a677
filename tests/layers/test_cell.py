"""VanillaRNNCell: drop-in for SimpleRNNCell, and right against the oracle."""

import inspect

import keras
import numpy as np
import pytest
import reference
from backend_arrays import assert_allclose, assert_array_equal
from dropout_of_one import skip_unless_keras_has_it
from keras import ops

import keras_vrnn as kv


def cell_with_weights(problem, **kwargs):
    cell = kv.VanillaRNNCell(
        problem.recurrent_kernel.shape[0],
        activation=problem.activation,
        use_bias=problem.bias is not None,
        **kwargs,
    )
    cell.build((None, problem.x.shape[-1]))
    weights = [problem.kernel, problem.recurrent_kernel, problem.bias]
    cell.set_weights([w for w in weights if w is not None])
    return cell


def test_signature_is_that_of_simple_rnn_cell():
    ours = inspect.signature(kv.VanillaRNNCell).parameters.values()
    theirs = inspect.signature(keras.layers.SimpleRNNCell).parameters.values()
    assert [(p.name, p.default, p.kind) for p in ours] == [(p.name, p.default, p.kind) for p in theirs]


@pytest.mark.parametrize("use_bias", [True, False])
def test_step_loop_equals_oracle(use_bias):
    problem = reference.random_problem(np.random.default_rng(0), use_bias=use_bias)
    cell = cell_with_weights(problem)
    h = [problem.h0.astype("float32")]
    for t in range(problem.time):
        output, h = cell(problem.x[:, t].astype("float32"), h)
        # float32 rounding of sums of 10 terms over 5 steps.
        assert_allclose(output, reference.forward(problem)[:, t], atol=1e-5)
        assert_array_equal(output, h[0])


def test_state_may_be_bare():
    problem = reference.random_problem(np.random.default_rng(1))
    cell = cell_with_weights(problem)
    x, h = problem.x[:, 0].astype("float32"), problem.h0.astype("float32")
    bare, new_state = cell(x, h)
    assert_array_equal(bare, new_state)
    assert_array_equal(bare, cell(x, [h])[0])


def test_weights_carry_over_both_ways():
    problem = reference.random_problem(np.random.default_rng(2))
    ours = cell_with_weights(problem)
    theirs = keras.layers.SimpleRNNCell(6)
    theirs.build((None, 4))
    theirs.set_weights(ours.get_weights())
    x, h = problem.x[:, 0].astype("float32"), [problem.h0.astype("float32")]
    # Both sum the same float32 products, in another order.
    assert_allclose(ours(x, h)[0], theirs(x, h)[0], atol=1e-6)
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


def test_dropout_masks_hold_until_reset():
    cell = kv.VanillaRNNCell(5, activation=None, dropout=0.5, recurrent_dropout=0.5, seed=3)
    x, h = np.ones((2, 8), "float32"), np.ones((2, 5), "float32")
    first, _ = cell(x, [h], training=True)
    again, _ = cell(x, [h], training=True)
    assert_array_equal(first, again)
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    fresh, _ = cell(x, [h], training=True)
    assert np.any(ops.convert_to_numpy(fresh) != ops.convert_to_numpy(first))


def test_dropout_of_one_drops_everything():
    skip_unless_keras_has_it()
    cell = kv.VanillaRNNCell(5, dropout=1.0, recurrent_dropout=1.0, bias_initializer="ones")
    output, _ = cell(np.ones((2, 3), "float32"), [np.ones((2, 5), "float32")], training=True)
    assert_allclose(output, np.full((2, 5), np.tanh(1)), rtol=1e-6)  # only φ(b) is left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, r"`units` must be a positive integer. Received: units=0"),
        ({"units": 2.5}, r"`units` must be a positive integer. Received: units=2.5"),
        ({"units": "8"}, r"`units` must be a positive integer. Received: units='8'"),
        ({"units": True}, r"`units` must be a positive integer. Received: units=True"),
        ({"dropout": 1.7}, r"`dropout` must be a number in \[0, 1\].*Received: dropout=1.7"),
        ({"dropout": -0.1}, r"`dropout` must be a number in \[0, 1\].*Received: dropout=-0.1"),
        ({"dropout": float("nan")}, r"`dropout` must be a number in \[0, 1\].*Received: dropout=nan"),
        ({"recurrent_dropout": "half"}, r"`recurrent_dropout` must be a number.*recurrent_dropout='half'"),
        ({"use_bias": "False"}, r"`use_bias` must be True or False. Received: use_bias='False'"),
        ({"activation": "tahn"}, r"`activation` must be .*keras.activations.*Received: activation='tahn'"),
        ({"kernel_initializer": "glorot"}, r"`kernel_initializer` must be .*kernel_initializer='glorot'"),
        (
            {"bias_regularizer": "l3"},
            r"`bias_regularizer` must be .*keras.regularizers.*bias_regularizer='l3'",
        ),
        ({"recurrent_constraint": "soft"}, r"`recurrent_constraint` must be .*recurrent_constraint='soft'"),
        ({"seed": "one"}, r"`seed` must be an integer or None. Received: seed='one'"),
    ],
)
@pytest.mark.parametrize("name", ["VanillaRNNCell", "VanillaRNN"])
def test_bad_arguments_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(kv, name)(**{"units": 4, **arguments})


def test_config_survives_a_round_trip():
    cell = kv.VanillaRNNCell(np.int64(5), "relu", False, dropout=0.25, recurrent_dropout=0.5, seed=11)
    clone = kv.VanillaRNNCell.from_config(cell.get_config())
    assert clone.get_config() == cell.get_config()
    assert set(inspect.signature(kv.VanillaRNNCell).parameters) - {"kwargs"} <= set(cell.get_config())

"""FastRNNCell: one step against the oracle, its two scalars, its configuration."""

import inspect

import keras
import numpy as np
import pytest
import reference
from backend_arrays import assert_allclose, assert_array_equal
from dropout_of_one import skip_unless_keras_has_it

import keras_vrnn as kv


def cell_with_weights(problem, **options):
    options = {"activation": problem.activation, "use_bias": problem.bias is not None, **options}
    cell = kv.FastRNNCell(problem.recurrent_kernel.shape[0], **options)
    cell.build((None, problem.x.shape[-1]))
    weights = (problem.kernel, problem.recurrent_kernel, problem.bias, problem.alpha, problem.beta)
    cell.set_weights([w for w in weights if w is not None])
    return cell


@pytest.mark.parametrize("name", ["RNNCell", "RNN"])
def test_signature_is_the_vanilla_one_and_two_initializers(name):
    ours = inspect.signature(getattr(kv, f"Fast{name}")).parameters
    theirs = inspect.signature(getattr(kv, f"Vanilla{name}")).parameters
    own = ["alpha_initializer", "beta_initializer"]
    assert [(p.name, p.default, p.kind) for n, p in ours.items() if n not in own] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]
    assert all(ours[n].kind is inspect.Parameter.KEYWORD_ONLY for n in own)


@pytest.mark.parametrize("use_bias", [True, False])
def test_step_loop_equals_oracle(use_bias):
    problem = reference.random_problem(np.random.default_rng(0), use_bias=use_bias, fast=True)
    cell = cell_with_weights(problem)
    h = [problem.h0.astype("float32")]
    for t in range(problem.time):
        output, h = cell(problem.x[:, t].astype("float32"), h)
        # float32 rounding of sums of 10 terms over 5 steps.
        assert_allclose(output, reference.forward(problem)[:, t], atol=1e-5)
        assert_array_equal(output, h[0])


def test_state_may_be_bare():
    problem = reference.random_problem(np.random.default_rng(1), fast=True)
    cell = cell_with_weights(problem)
    x, h = problem.x[:, 0].astype("float32"), problem.h0.astype("float32")
    bare, new_state = cell(x, h)
    assert_array_equal(bare, new_state)
    assert_array_equal(bare, cell(x, [h])[0])


def test_the_scalars_are_weights_that_start_as_in_the_authors_code():
    cell = kv.FastRNNCell(4)
    cell.build((None, 3))
    assert [w.name for w in cell.trainable_weights] == ["kernel", "recurrent_kernel", "bias", "alpha", "beta"]
    assert [tuple(w.shape) for w in cell.weights[-2:]] == [(), ()]
    assert_array_equal(cell.weights[-2], -3.0)
    assert_array_equal(cell.weights[-1], 3.0)
    alpha, beta = cell.rates()
    assert_allclose(alpha, 0.04743, atol=1e-5)  # as printed
    assert_allclose(beta, 0.95257, atol=1e-5)


def test_recurrent_dropout_leaves_the_residual_alone():
    skip_unless_keras_has_it()
    cell = kv.FastRNNCell(5, recurrent_dropout=1.0, use_bias=False, alpha_initializer="zeros")
    h = np.ones((2, 5), "float32")
    output, _ = cell(np.zeros((2, 3), "float32"), [h], training=True)
    assert_allclose(output, 0.95257 * h, atol=1e-5)  # β·h: φ(0) is 0


def test_config_survives_a_round_trip():
    cell = kv.FastRNNCell(
        5, "relu", False, seed=11, alpha_initializer="ones", beta_initializer=keras.initializers.Constant(2.0)
    )
    clone = kv.FastRNNCell.from_config(cell.get_config())
    assert clone.get_config() == cell.get_config()
    assert set(inspect.signature(kv.FastRNNCell).parameters) - {"kwargs"} <= set(cell.get_config())
    clone.build((None, 3))
    assert clone.get_weights()[-2:] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, r"`units` must be a positive integer. Received: units=0"),
        ({"dropout": 1.7}, r"`dropout` must be a number in \[0, 1\].*Received: dropout=1.7"),
        ({"alpha_initializer": -3.0}, r"`alpha_initializer` must be .*Received: alpha_initializer=-3.0"),
        ({"beta_initializer": "three"}, r"`beta_initializer` must be .*Received: beta_initializer='three'"),
    ],
)
@pytest.mark.parametrize("name", ["FastRNNCell", "FastRNN"])
def test_bad_arguments_are_refused(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(kv, name)(**{"units": 4, **arguments})

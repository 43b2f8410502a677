"""The native kernel against the float64 oracle, in every version that this processor can run."""

import numpy as np
import pytest
import reference
import tensorflow as tf

from keras_vrnn.native import kernel, library

NAMES = ("last", "hidden", "x", "state", "kernel", "recurrent_kernel", "bias")


def tensors(problem):
    given = (
        problem.x,
        problem.h0,
        problem.kernel,
        problem.recurrent_kernel,
        problem.bias,
        problem.mask,
        problem.recurrent_dropout_mask,
    )
    return kernel.Recurrence(
        *(None if a is None else tf.constant(a, tf.bool if a.dtype == bool else tf.float32) for a in given)
    )


def random_problem(rng, seed):
    """Sizes around those of vectors, panels and tiles; every fifth sequence is longer than one block of steps."""
    activation = list(kernel.ACTIVATIONS)[seed % 4]
    batch, features, units = int(rng.integers(1, 40)), int(rng.integers(1, 70)), int(rng.integers(1, 80))
    options = {}
    if rng.random() < 0.4:
        options["recurrent_dropout_mask"] = rng.integers(0, 2, (batch, units)) * 2.0
    problem = reference.random_problem(
        rng,
        batch,
        int(rng.integers(65, 150) if seed % 5 == 0 else rng.integers(1, 12)),
        features,
        units,
        mask=rng.random() < 0.5,
        initial_state=rng.random() < 0.7,
        activation=activation,
        go_backwards=bool(rng.random() < 0.5),
        use_bias=rng.random() < 0.7,
        **options,
    )
    if activation in ("relu", "linear"):
        problem.recurrent_kernel *= 0.3  # states that do not grow over 150 steps
    return problem


def errors(problem, rng):
    """Relative error of every result by name, from the forward pass and from BPTT."""
    d_last = rng.normal(size=problem.h0.shape) if rng.random() < 0.6 else None
    d_hidden = None
    if d_last is None or rng.random() < 0.5:
        d_hidden = rng.normal(size=(*problem.x.shape[:2], problem.h0.shape[1]))
    steps = slice(None, None, -1 if problem.go_backwards else 1)  # to time order
    hidden = reference.forward(problem)
    expected = reference.backward(problem, d_hidden, d_last)
    given, how = tensors(problem), (problem.activation, problem.go_backwards)
    last, all_hidden = kernel.forward(given, *how, kernel.ALL)
    upstream = (
        None if d is None else tf.constant(d, tf.float32)
        for d in (d_last, None if d_hidden is None else d_hidden[:, steps])
    )
    found = kernel.gradient(given, *how, all_hidden, *upstream)
    return {
        name: reference.relative_error(actual, wanted)
        for name, actual, wanted in zip(
            NAMES,
            (last, all_hidden, found.dx, *found[2:]),
            (
                hidden[:, -1],
                hidden[:, steps],
                expected.x,
                expected.initial_state,
                expected.kernel,
                expected.recurrent_kernel,
                expected.bias if problem.bias is not None else np.zeros(0),
            ),
            strict=True,
        )
    }


def check(seeds):
    wrong = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        problem = random_problem(rng, seed)
        found = errors(problem, rng)
        # float32 rounding (6e-8) of sums of up to 150 products, carried over up to 150 steps: the largest of 1,000
        # random problems is 4e-6.
        if not max(found.values()) < 2e-5:
            wrong.append((seed, problem.x.shape, found))
    assert not wrong, wrong[:3]


def test_random_problems_equal_the_oracle(instructions):
    check(range(50))


@pytest.mark.slow
def test_a_thousand_random_problems_equal_the_oracle(instructions):
    check(range(50, 1050))


def some_problem(time=7, batch=9, **options):
    rng = np.random.default_rng(1)
    return reference.random_problem(rng, batch, time, 5, 18, mask=True, **options)


def outputs_of(problem, keep=kernel.ALL):
    given, how = tensors(problem), (problem.activation, problem.go_backwards)
    last, hidden = kernel.forward(given, *how, keep)
    d_last = tf.reshape(tf.range(tf.size(last), dtype=tf.float32), last.shape) / tf.cast(
        tf.size(last), tf.float32
    )
    return last, kernel.gradient(given, *how, hidden, d_last)


@pytest.mark.parametrize("go_backwards", [False, True])
def test_a_long_sequence_keeps_blocks_and_has_the_same_gradients(instructions, go_backwards):
    problem = some_problem(time=1100, batch=3, go_backwards=go_backwards)
    given, how = tensors(problem), (problem.activation, problem.go_backwards)
    assert kernel.forward(given, *how, kernel.FOR_GRADIENT)[1].shape == (3, 18, 18)  # 18 blocks of 64 steps
    last, found = outputs_of(problem, kernel.FOR_GRADIENT)
    same, expected = outputs_of(problem)
    np.testing.assert_array_equal(last, same)
    for name, a, b in zip(found._fields, found, expected, strict=True):
        # The same steps computed again; weight gradients are added up in other blocks.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, err_msg=name)


def test_short_sequences_keep_all_steps_for_the_gradient(native_on):
    given = tensors(some_problem())
    assert kernel.forward(given, "tanh", False, kernel.FOR_GRADIENT)[1].shape == (9, 7, 18)
    assert kernel.forward(given, "tanh", False, kernel.NOTHING)[1].shape == (9, 0, 18)


@pytest.mark.parametrize("activation", list(kernel.ACTIVATIONS))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_travel_as_in_numpy(instructions, activation, value):
    problem = some_problem(activation=activation)
    problem.mask = None
    problem.x[2, 3, 1] = value
    _, hidden = kernel.forward(tensors(problem), activation, False, kernel.ALL)
    with np.errstate(invalid="ignore"):
        problem.__post_init__()
        expected = reference.forward(problem)
    np.testing.assert_array_equal(np.isnan(hidden), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(hidden), np.isposinf(expected))
    np.testing.assert_array_equal(np.isneginf(hidden), np.isneginf(expected))
    finite = np.isfinite(expected)
    # float32 rounding, relative to states that grow to about 1e3 where φ is linear.
    np.testing.assert_allclose(hidden.numpy()[finite], expected[finite], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_activations_are_accurate_to_a_few_units_in_the_last_place(instructions, activation):
    z = np.concatenate([np.linspace(-20, 20, 200_001), np.logspace(-30, 2, 5000), -np.logspace(-30, 2, 5000)])
    z = z.astype("float32")[:, None, None]
    one, zero = tf.ones((1, 1)), tf.zeros((1, 1))
    given = kernel.Recurrence(tf.constant(z), tf.zeros((len(z), 1)), one, zero)
    found = kernel.forward(given, activation, False, kernel.NOTHING)[0].numpy()[:, 0].astype("float64")
    z = z[:, 0, 0].astype("float64")
    expected = np.tanh(z) if activation == "tanh" else 1 / (1 + np.exp(-z))
    normal = expected > 1.2e-38  # TensorFlow's kernels flush smaller numbers to zero, and so does this one
    units = abs(found - expected) / np.spacing(abs(expected).astype("float32"))
    assert np.max(units[normal | (activation == "tanh")]) < 8  # measured: 6 and 3
    assert np.max(abs(found)) <= 1


def test_the_same_result_in_every_run(instructions):
    problem = some_problem(batch=37, time=40)
    first, *others = [[a.numpy() for a in (r[0], *r[1])] for r in (outputs_of(problem) for _ in range(20))]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads(native_on, monkeypatch, threads):
    monkeypatch.setattr(library, "threads", lambda: threads)
    check(range(12))


@pytest.mark.parametrize(("batch", "time"), [(0, 4), (0, 0)])
def test_an_empty_batch_has_zero_gradients(native_on, batch, time):
    given = kernel.Recurrence(
        tf.zeros((batch, time, 3)), tf.zeros((batch, 5)), tf.ones((3, 5)), tf.ones((5, 5)), tf.ones(5)
    )
    last, hidden = kernel.forward(given, "tanh", False, kernel.ALL)
    assert (last.shape, hidden.shape) == ((batch, 5), (batch, time, 5))
    found = kernel.gradient(given, "tanh", False, hidden, last, hidden)
    for gradient, like in zip((found.dx, *found[2:]), given, strict=False):
        np.testing.assert_array_equal(gradient, tf.zeros_like(like))


def test_no_steps_return_the_initial_state(native_on):
    state = tf.constant([[1.0, 2.0]])
    given = kernel.Recurrence(tf.zeros((1, 0, 3)), state, tf.ones((3, 2)), tf.ones((2, 2)))
    last, hidden = kernel.forward(given, "tanh", False, kernel.ALL)
    np.testing.assert_array_equal(last, state)
    np.testing.assert_array_equal(kernel.gradient(given, "tanh", False, hidden, state).state, state)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("state", (9, 5)),
        ("state", (8, 18)),
        ("kernel", (4, 18)),
        ("recurrent_kernel", (18, 17)),
        ("bias", (17,)),
        ("mask", (9, 6)),
        ("recurrent_mask", (9, 17)),
        ("x", (9, 7)),
    ],
)
def test_shapes_that_do_not_belong_together_are_errors(native_on, name, shape):
    given = tensors(some_problem())._replace(
        **{name: tf.ones(shape, tf.bool if name == "mask" else tf.float32)}
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="recurrence"):
        kernel.forward(given, "tanh", False, kernel.ALL)


def test_shapes_are_known_in_a_graph(native_on):
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, 5))])
    def forward(x, state):
        return kernel.forward(kernel.Recurrence(x, state, tf.ones((3, 5)), tf.ones((5, 5))), "tanh", False, 2)

    last, hidden = forward.get_concrete_function().structured_outputs
    assert (last.shape.as_list(), hidden.shape.as_list()) == ([None, 5], [None, None, 5])

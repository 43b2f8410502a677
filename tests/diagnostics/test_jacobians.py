"""spectrum against matrices with a known spectrum, the oracle's Jacobians, and a separate QR method."""

import json

import keras
import numpy as np
import pytest
import reference
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import jacobians, spectrum

# The weights are float32 numbers; everything else is float64.
EXACT = 1e-12


def built(problem, **options):
    """A layer with the weights of a problem, rounded to float32 in both."""
    names = ("kernel", "recurrent_kernel", "bias", "alpha", "beta")[: 3 if problem.alpha is None else 5]
    for name in names:
        setattr(problem, name, getattr(problem, name).astype("float32").astype("float64"))
    layer_class = kv.VanillaRNN if problem.alpha is None else kv.FastRNN
    layer = layer_class(problem.recurrent_kernel.shape[0], activation=problem.activation, **options)
    layer.build((None, None, problem.x.shape[2]))
    layer.set_weights([getattr(problem, name) for name in names])
    return layer


def oracle_jacobians(problem):
    """∂h_t/∂h_{t-1}, (batch, steps, units, units), by central differences of the oracle's step."""
    hidden = reference.forward(problem)
    batch, steps, units = hidden.shape
    result = np.empty((batch, steps, units, units))
    move = 1e-6
    for t in range(steps):
        before = np.zeros((batch, units)) if t == 0 else hidden[:, t - 1]
        for i in range(units):
            ends = []
            for sign in (1, -1):
                state = before.copy()
                state[:, i] += sign * move
                at = problem.x[:, t : t + 1]
                step = reference.Problem(
                    at,
                    problem.kernel,
                    problem.recurrent_kernel,
                    problem.bias,
                    state,
                    activation=problem.activation,
                    alpha=problem.alpha,
                    beta=problem.beta,
                )
                ends.append(reference.forward(step)[:, 0])
            result[:, t, i] = (ends[0] - ends[1]) / (2 * move)
    return result


def qr_exponents(matrices):
    """All Lyapunov exponents of one sequence by the QR method, largest first."""
    q, logs = np.eye(matrices.shape[1]), []
    for jacobian in matrices:
        q, r = np.linalg.qr(jacobian.T @ q)
        logs.append(np.log(abs(np.diag(r))))
    return np.sort(np.mean(logs[len(logs) // 10 :], axis=0))[::-1]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu"])
def test_jacobian_norms_of_a_fast_rnn_equal_the_oracle_and_stay_below_the_bound(activation):
    problem = reference.random_problem(
        np.random.default_rng(2),
        batch=2,
        time=6,
        units=5,
        initial_state=False,
        activation=activation,
        fast=True,
    )
    found = spectrum(built(problem), problem.x)
    expected = np.linalg.norm(oracle_jacobians(problem), ord=2, axis=(2, 3))
    np.testing.assert_allclose(found.jacobian_norms, expected, rtol=1e-8)  # as below
    assert found.jacobian_norms.max() <= found.bound * (1 + EXACT)
    alpha, beta = (1 / (1 + np.exp(-value)) for value in (problem.alpha, problem.beta))
    slope = {"tanh": 1.0, "sigmoid": 0.25, "elu": 1.0}[activation]
    assert found.bound == pytest.approx(alpha * found.norm * slope + beta, rel=EXACT)
    assert (found.alpha, found.beta) == (pytest.approx(alpha, rel=EXACT), pytest.approx(beta, rel=EXACT))
    assert "bound of a step back, α·γ_W·γ_φ + β" in str(found)
    assert f"α {alpha:.4f}, β {beta:.4f}" in str(found)


def test_the_exponent_of_a_fast_rnn_equals_the_qr_method():
    problem = reference.random_problem(
        np.random.default_rng(1), batch=1, time=600, features=2, units=8, initial_state=False, fast=True
    )
    problem.x *= 0.1
    found = spectrum(built(problem), problem.x)
    expected = qr_exponents(oracle_jacobians(problem)[0])[0]
    # The first vectors differ: a factor of a few units in 540 steps.
    assert found.lyapunov == pytest.approx(expected, abs=0.01)


def test_dead_units_of_a_fast_rnn_keep_the_share_beta_of_the_gradient():
    layer = kv.FastRNN(3, activation="relu", bias_initializer=keras.initializers.Constant(-5.0))
    layer.build((None, None, 2))
    found = spectrum(layer, np.zeros((1, 20, 2)))
    assert found.lyapunov == pytest.approx(np.log(found.beta), rel=EXACT)
    np.testing.assert_allclose(found.jacobian_norms, found.beta, rtol=EXACT)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu"])
def test_jacobian_norms_equal_the_oracle_and_stay_below_the_bound(activation):
    problem = reference.random_problem(
        np.random.default_rng(0), batch=2, time=6, units=5, initial_state=False, activation=activation
    )
    found = spectrum(built(problem), problem.x)
    expected = np.linalg.norm(oracle_jacobians(problem), ord=2, axis=(2, 3))
    np.testing.assert_allclose(
        found.jacobian_norms, expected, rtol=1e-8
    )  # of differences with a step of 1e-6
    np.testing.assert_allclose(found.singular_values, np.linalg.svd(problem.recurrent_kernel)[1], rtol=EXACT)
    assert found.jacobian_norms.max() <= found.bound * (1 + EXACT)
    assert found.bound == found.norm * {"tanh": 1.0, "sigmoid": 0.25, "elu": 1.0}[activation]


def test_spectral_radius_and_norm_differ_where_they_should():
    """A shear: both eigenvalues are 1/2, yet one step stretches by more than 5."""
    layer = kv.VanillaRNN(2, activation="linear")
    layer.build((None, None, 1))
    layer.set_weights([np.ones((1, 2)), np.array([[0.5, 5.0], [0.0, 0.5]]), np.zeros(2)])
    found = spectrum(layer)
    assert found.spectral_radius == pytest.approx(0.5)
    assert (
        found.norm
        == pytest.approx(np.sqrt(0.25 + 12.5 + np.sqrt(12.75**2 - 0.0625)), rel=EXACT)
        == found.bound
    )
    assert found.jacobian_norms is None is found.lyapunov


def test_the_exponent_of_a_linear_recurrence_is_the_log_of_the_spectral_radius():
    layer = kv.VanillaRNN(
        6, activation="linear", recurrent_initializer=kv.initializers.SpectralRadius(0.9, seed=3)
    )
    layer.build((None, None, 2))
    found = spectrum(layer, np.zeros((4, 2000, 2)))
    # The vector first turns into the leading plane, and then within it: a few units over 1,800 steps.
    assert found.lyapunov == pytest.approx(np.log(0.9), abs=2e-3)


@pytest.mark.parametrize(("radius", "positive"), [(0.5, False), (3.0, True)])
def test_the_exponent_of_tanh_equals_the_qr_method_and_tells_order_from_chaos(radius, positive):
    rng = np.random.default_rng(1)
    problem = reference.random_problem(rng, batch=1, time=600, features=2, units=8, initial_state=False)
    problem.recurrent_kernel = rng.normal(size=(8, 8)) * radius / np.sqrt(8)
    problem.x *= 0.1
    found = spectrum(built(problem), problem.x)
    expected = qr_exponents(oracle_jacobians(problem)[0])[0]
    # The first vectors differ: a factor of a few units in 540 steps.
    assert found.lyapunov == pytest.approx(expected, abs=0.01)
    assert (found.lyapunov > 0) == positive


def test_one_unit_by_hand():
    """h_t = tanh(w·h_{t-1} + x_t): the exponent is the mean of ln |w·(1 − h_t²)|, the norms are these factors."""
    layer = kv.VanillaRNN(1, use_bias=False)
    layer.build((None, None, 1))
    layer.set_weights([np.ones((1, 1)), np.full((1, 1), 0.75)])
    x, h, factors = np.random.default_rng(0).normal(size=20), 0.0, []
    for value in x:
        h = np.tanh(0.75 * h + value)
        factors.append(0.75 * (1 - h * h))
    found = spectrum(layer, x[None, :, None])
    np.testing.assert_allclose(found.jacobian_norms[0], factors, rtol=EXACT)
    assert found.lyapunov == pytest.approx(np.mean(np.log(factors[2:])), rel=EXACT)  # a tenth is left out


def test_the_rate_of_the_gradient_equals_the_bound_where_it_must():
    """Linear, 0.8 times orthogonal: every step back is a factor of 0.8 = γ_W·γ_φ = e^λ."""
    recurrent = kv.VanillaRNN(
        8, activation="linear", recurrent_initializer=keras.initializers.Orthogonal(gain=0.8)
    )
    model = keras.Sequential([keras.Input((50, 3)), recurrent, layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(3, 50, 3)).astype("float32")
    flow = kv.diagnostics.gradient_flow(model, x, np.ones((3, 1)), "mse")
    found = spectrum(recurrent, x)
    # float32 rounding of the weights and the gradients.
    assert flow.layers[0].rate == pytest.approx(found.bound, rel=1e-5)
    assert np.exp(found.lyapunov) == pytest.approx(found.bound, rel=1e-5)


def test_masked_steps_change_nothing():
    rng = np.random.default_rng(2)
    problem = reference.random_problem(rng, batch=3, time=12, initial_state=False)
    layer = built(problem)
    mask = np.ones((3, 16), bool)
    mask[:, [0, 5, 6, 15]] = False
    padded = rng.normal(size=(3, 16, problem.x.shape[2]))
    padded[mask] = problem.x.reshape(-1, problem.x.shape[2])
    bare, masked = spectrum(layer, problem.x), spectrum(layer, padded, mask)
    np.testing.assert_allclose(masked.jacobian_norms[mask], bare.jacobian_norms.ravel(), rtol=EXACT)
    assert np.isnan(masked.jacobian_norms[~mask]).all()
    assert masked.lyapunov == pytest.approx(bare.lyapunov, rel=EXACT)


def test_the_rest_of_a_sequence_continues_from_the_state():
    problem = reference.random_problem(np.random.default_rng(6), time=8, initial_state=False)
    layer, hidden = built(problem), reference.forward(problem)
    whole = spectrum(layer, problem.x)
    rest = spectrum(layer, problem.x[:, 3:], initial_state=hidden[:, 2])
    np.testing.assert_allclose(rest.jacobian_norms, whole.jacobian_norms[:, 3:], rtol=EXACT)
    with pytest.raises(
        ValueError, match=r"`initial_state` must have shape .* = \(3, 6\). Received: shape \(6,\)"
    ):
        spectrum(layer, problem.x, initial_state=np.zeros(6))


def test_backward_equals_forward_on_the_reversed_sequence():
    problem = reference.random_problem(np.random.default_rng(3), initial_state=False)
    forward = spectrum(built(problem), problem.x[:, ::-1])
    backward = spectrum(built(problem, go_backwards=True), problem.x)
    np.testing.assert_array_equal(backward.jacobian_norms, forward.jacobian_norms)


def test_slope_bounds_hold_and_are_tight():
    z = np.linspace(-12, 12, 240_001)
    for activation, bound in jacobians.SLOPE_BOUNDS.items():
        slope = abs(jacobians._activated(activation, z)[1]).max()
        # Tight, except for the rounding of the listed values in the fifth decimal.
        assert bound * (1 - 1e-4) <= slope <= bound * (1 + 1e-7), (
            f"{activation.__name__}: {slope} and {bound}"
        )


def test_dead_units_and_unknown_activations():
    layer = kv.VanillaRNN(3, activation="relu", bias_initializer=keras.initializers.Constant(-5.0))
    layer.build((None, None, 2))
    found = spectrum(layer, np.zeros((1, 4, 2)))
    assert found.lyapunov == -np.inf
    assert not found.jacobian_norms.any()
    assert found.to_dict()["lyapunov"] is None
    own = kv.VanillaRNN(3, activation=lambda z: keras.ops.sin(z))
    own.build((None, None, 2))
    assert spectrum(own).bound is None
    assert "unknown for this activation" in str(spectrum(own, np.ones((1, 4, 2))))


def test_text_and_json():
    layer = kv.VanillaRNN(4, recurrent_initializer=kv.initializers.ScaledIdentity(0.5), name="memory")
    layer.build((None, None, 2))
    found = spectrum(layer, np.ones((2, 5, 2)))
    assert "memory: 4 units" in str(found)
    assert "0.5000, so that the gradient is below 1 %" in str(found)
    assert "after 7 steps" in str(found), "0.5^7 < 1 % < 0.5^6"
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["bound"] == plain["spectral_radius"] == 0.5
    assert len(plain["singular_values"]) == 4


def test_layers_and_cells_of_keras():
    simple = layers.SimpleRNN(4)
    simple.build((None, None, 2))
    assert spectrum(simple).norm == pytest.approx(spectrum(simple.cell).norm) == pytest.approx(1.0)


# Bad input.


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.LSTM(3), r"Received: layer of type LSTM\. gradient_flow works for every recurrent layer"),
        (
            kv.Bidirectional(kv.VanillaRNN(3)),
            r"type Bidirectional\. .*`.forward_layer` or `.backward_layer`",
        ),
        (layers.RNN([kv.VanillaRNNCell(3)] * 2), r"type RNN\. .*`.cells`"),
        (kv.StackedVanillaRNN([3, 3]), r"type StackedVanillaRNN\. .*`.layers`"),
    ],
)
def test_other_layers_are_refused(layer, message):
    with pytest.raises(TypeError, match=message):
        spectrum(layer)


def test_an_unbuilt_layer_is_refused():
    with pytest.raises(ValueError, match="layer 'early' has no weights yet"):
        spectrum(kv.VanillaRNN(3, name="early"))


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        (np.ones((2, 3)), None, r"shape \(batch, time, 2\). Received: shape \(2, 3\)"),
        (np.ones((2, 3, 5)), None, r"Received: shape \(2, 3, 5\)"),
        (np.ones((0, 3, 2)), None, r"Received: shape \(0, 3, 2\)"),
        (np.full((1, 3, 2), np.nan), None, "`x` must be finite"),
        (
            np.ones((1, 3, 2)),
            np.ones((1, 4)),
            r"`mask` must have shape .* = \(1, 3\). Received: shape \(1, 4\)",
        ),
        (np.ones((1, 3, 2)), np.zeros((1, 3)), "at least one step"),
    ],
)
def test_data_that_do_not_fit_are_refused(x, mask, message):
    layer = kv.VanillaRNN(3)
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match=message):
        spectrum(layer, x, mask)


def test_broken_weights_are_named():
    layer = kv.VanillaRNN(3, name="burst")
    layer.build((None, None, 2))
    layer.set_weights([np.full((2, 3), np.inf), np.eye(3), np.zeros(3)])
    with pytest.raises(ValueError, match="layer 'burst' has inf or NaN in its weights"):
        spectrum(layer)


def test_a_cell_with_its_own_call_is_refused_on_data():
    class Residual(kv.VanillaRNNCell):
        def call(self, sequence, states, training=False):
            h, _ = super().call(sequence, states)
            return h + states[0], [h + states[0]]

    layer = layers.RNN(Residual(3))
    layer.build((None, None, 2))
    assert spectrum(layer).norm > 0
    with pytest.raises(ValueError, match="cell Residual has a `call` of its own"):
        spectrum(layer, np.ones((1, 4, 2)))

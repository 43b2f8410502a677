"""The oracle: float64 NumPy recurrences with hand-written BPTT, independent of the package and of Keras.

    h_t = φ((x_t∘d)·W_x + (h_{t-1}∘r)·W_h + b)                  where mask_t, else h_{t-1}
    h_t = σ(alpha)·φ(…) + σ(beta)·h_{t-1}    the FastRNN        where mask_t, else h_{t-1}

Written for reading, one step at a time, with nothing hoisted.
"""

import math
from dataclasses import dataclass

import numpy as np


def _sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2  # no overflow for large negative z


_ERF = np.vectorize(math.erf)

# name -> (φ, φ'), both functions of the pre-activation z.
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "linear": (lambda z: z, np.ones_like),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
    ),
    "selu": (
        lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
        lambda z: 1.0507009873554805 * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0))),
    ),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1, 0.2)),
    "softplus": (lambda z: np.logaddexp(z, 0), _sigmoid),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "exponential": (np.exp, np.exp),
    "hard_tanh": (lambda z: np.clip(z, -1, 1), lambda z: (abs(z) < 1) * 1.0),
    "hard_sigmoid": (lambda z: np.clip(z / 6 + 0.5, 0, 1), lambda z: (abs(z) < 3) / 6),
    "relu6": (lambda z: np.clip(z, 0, 6), lambda z: ((z > 0) & (z < 6)) * 1.0),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "gelu": (
        lambda z: 0.5 * z * (1 + _ERF(z / np.sqrt(2))),
        lambda z: 0.5 * (1 + _ERF(z / np.sqrt(2))) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    ),
}


@dataclass
class Problem:
    """One recurrence with all that it depends on; shapes as in the layer, all float64."""

    x: np.ndarray
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None = None
    initial_state: np.ndarray | None = None
    mask: np.ndarray | None = None
    dropout_mask: np.ndarray | None = None
    recurrent_dropout_mask: np.ndarray | None = None
    activation: str = "tanh"
    go_backwards: bool = False
    alpha: float | None = None  # of the FastRNN, before the sigmoid
    beta: float | None = None

    def __post_init__(self):
        for name in ("x", "kernel", "recurrent_kernel", "bias", "initial_state", "dropout_mask"):
            if getattr(self, name) is not None:
                setattr(self, name, np.asarray(getattr(self, name), "float64"))
        batch, time, features = self.x.shape
        units = self.recurrent_kernel.shape[0]
        self.time = time
        self.h0 = np.zeros((batch, units)) if self.initial_state is None else self.initial_state
        self.counts = np.ones((batch, time), bool) if self.mask is None else np.asarray(self.mask, bool)
        self.d = np.ones((batch, features)) if self.dropout_mask is None else self.dropout_mask
        self.r = np.ones((batch, units))
        if self.recurrent_dropout_mask is not None:
            self.r = np.asarray(self.recurrent_dropout_mask, "float64")

    @property
    def order(self):
        return range(self.time - 1, -1, -1) if self.go_backwards else range(self.time)


@dataclass
class Gradients:
    x: np.ndarray
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray
    initial_state: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray


def forward(problem):
    """h after each step in the order of processing, (batch, time, units); the last one is the final state."""
    return np.stack([h for h, _, _ in _steps(problem)], axis=1)


def _steps(problem):
    phi, _ = ACTIVATIONS[problem.activation]
    h = problem.h0
    steps = []
    a, b = _rates(problem)
    for t in problem.order:
        z = (problem.x[:, t] * problem.d) @ problem.kernel + (h * problem.r) @ problem.recurrent_kernel
        if problem.bias is not None:
            z = z + problem.bias
        h_before = h
        h = np.where(problem.counts[:, t, None], a * phi(z) + b * h, h)
        steps.append((h, z, h_before))
    return steps


def _rates(problem):
    """Factors of φ(z_t) and of h_{t-1} in h_t."""
    if problem.alpha is None:
        return 1.0, 0.0
    return _sigmoid(problem.alpha), _sigmoid(problem.beta)


def backward(problem, d_outputs=None, d_last=None):
    """Back-propagation through time.

    Args:
        problem: The recurrence.
        d_outputs: ∂L/∂h for all steps, in the order of processing, (batch, time, units).
        d_last: ∂L/∂(final state), (batch, units), on top of `d_outputs`.

    Returns:
        `Gradients` of L.
    """
    phi, slope = ACTIVATIONS[problem.activation]
    steps = _steps(problem)
    a, b = _rates(problem)
    d_a = d_b = 0.0
    dx = np.zeros_like(problem.x)
    d_kernel = np.zeros_like(problem.kernel)
    d_recurrent = np.zeros_like(problem.recurrent_kernel)
    d_bias = np.zeros(problem.recurrent_kernel.shape[0])
    dh = np.zeros_like(problem.h0) if d_last is None else np.array(d_last, "float64")
    order = list(problem.order)
    for position in reversed(range(len(order))):
        t = order[position]
        _, z, h_before = steps[position]
        if d_outputs is not None:
            dh = dh + d_outputs[:, position]
        counts = problem.counts[:, t, None]
        dz = np.where(counts, a * dh * slope(z), 0)
        d_a += np.where(counts, dh * phi(z), 0).sum()
        d_b += np.where(counts, dh * h_before, 0).sum()
        d_bias += dz.sum(0)
        d_kernel += (problem.x[:, t] * problem.d).T @ dz
        d_recurrent += (h_before * problem.r).T @ dz
        dx[:, t] = dz @ problem.kernel.T * problem.d
        dh = dz @ problem.recurrent_kernel.T * problem.r + np.where(counts, b * dh, dh)
    # σ' = σ·(1 - σ)
    return Gradients(dx, d_kernel, d_recurrent, d_bias, dh, d_a * a * (1 - a), d_b * b * (1 - b))


def random_problem(
    rng, batch=3, time=5, features=4, units=6, mask=False, initial_state=True, fast=False, **kwargs
):
    """A problem with random asymmetric weights: constant ones do not notice a transposed recurrent kernel.

    `fast`: the FastRNN, with rates between 0.05 and 0.95.
    """
    # exp feeds its growth back into itself: small weights keep it tame.
    scale = 0.1 if kwargs.get("activation") == "exponential" else 1.0
    if mask:
        kwargs["mask"] = rng.random((batch, time)) < 0.7
    if initial_state:
        kwargs["initial_state"] = rng.normal(size=(batch, units)) * 0.5
    if fast:
        kwargs["alpha"], kwargs["beta"] = np.array(rng.uniform(-3, 3)), np.array(rng.uniform(-3, 3))
    return Problem(
        x=rng.normal(size=(batch, time, features)),
        kernel=rng.normal(size=(features, units)) * 0.6 * scale,
        recurrent_kernel=rng.normal(size=(units, units)) * scale / np.sqrt(units),
        bias=rng.normal(size=units) * 0.3 if kwargs.pop("use_bias", True) else None,
        **kwargs,
    )


def relative_error(actual, expected):
    """Largest absolute difference over the largest expected magnitude (or 1 where that is smaller)."""
    if hasattr(actual, "detach"):  # a PyTorch tensor with a gradient
        actual = actual.detach()
    actual, expected = np.asarray(actual, "float64"), np.asarray(expected, "float64")
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if expected.size == 0:
        return 0.0
    return float(np.max(abs(actual - expected)) / max(1.0, np.max(abs(expected))))

"""What a recurrent kernel does to gradients: spectrum of W_h, Jacobians of the steps, Lyapunov exponent.

    J_t = ∂h_t/∂h_{t-1} = W_h·diag(φ'(z_t))        rows are h_{t-1}, as h_t = φ(x_t·W_x + h_{t-1}·W_h + b)
    ‖J_t‖ ≤ γ_W·γ_φ                                 γ_W = σ_max(W_h), γ_φ = sup |φ'|

FastRNN has h_t = α·φ(z_t) + β·h_{t-1}, so that J_t = α·W_h·diag(φ'(z_t)) + β·I and ‖J_t‖ ≤ α·γ_W·γ_φ + β. The vanilla
RNN is its case α = 1, β = 0.

Computed in NumPy, in float64, from the current weights of the layer.
"""

import math
import os
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vrnn._shown import Shown
from keras_vrnn.layers import FastRNNCell, VanillaRNNCell

# γ_φ = sup |φ'|. SELU: λ·α (Klambauer et al. 2017). SiLU and GELU: the maximum of φ', found numerically and rounded up.
SLOPE_BOUNDS = {
    keras.activations.linear: 1.0,
    keras.activations.tanh: 1.0,
    keras.activations.relu: 1.0,
    keras.activations.sigmoid: 0.25,
    keras.activations.elu: 1.0,
    keras.activations.selu: 1.0507009873554805 * 1.6732632423543772,
    keras.activations.leaky_relu: 1.0,
    keras.activations.softplus: 1.0,
    keras.activations.softsign: 1.0,
    keras.activations.hard_tanh: 1.0,
    keras.activations.hard_sigmoid: 1 / 6,
    keras.activations.relu6: 1.0,
    keras.activations.silu: 1.09984,
    keras.activations.gelu: 1.12891,
}

# The share of the steps before the tangent vector counts: it must first turn into the direction that grows fastest.
_WARM_UP = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Shown):
    """The result of `spectrum`; `print` it, `plot` it.

    Attributes:
        name: the layer's name.
        singular_values: of W_h, shape (units,), largest first.
        eigenvalues: of W_h, shape (units,), complex, largest magnitude first.
        slope_bound: γ_φ, or None for an activation whose largest slope is unknown.
        alpha, beta: α and β of a FastRNN; 1 and 0 for a vanilla RNN.
        jacobian_norms: ‖∂h_t/∂h_{t-1}‖₂, shape (batch, steps), in the order of processing, NaN at masked steps; None
            without `x`.
        lyapunov: largest Lyapunov exponent λ, per step, in nats: on average, a small change of the state grows by the
            factor e^λ per step; None without `x`.
    """

    name: str
    singular_values: np.ndarray
    eigenvalues: np.ndarray
    slope_bound: float | None
    alpha: float = 1.0
    beta: float = 0.0
    jacobian_norms: np.ndarray | None = None
    lyapunov: float | None = None

    @property
    def norm(self) -> float:
        """γ_W, the largest singular value of W_h."""
        return float(self.singular_values[0])

    @property
    def spectral_radius(self) -> float:
        """The largest magnitude of an eigenvalue of W_h."""
        return float(abs(self.eigenvalues[0]))

    @property
    def bound(self) -> float | None:
        """α·γ_W·γ_φ + β: no step back multiplies the gradient by more. Below 1 it must vanish. None if unknown."""
        return None if self.slope_bound is None else self.alpha * self.norm * self.slope_bound + self.beta

    @property
    def bound_formula(self) -> str:
        """The formula of `bound`, for text: γ_W·γ_φ for a vanilla RNN."""
        return "γ_W·γ_φ" if (self.alpha, self.beta) == (1, 0) else "α·γ_W·γ_φ + β"

    def plot(
        self, path: str | os.PathLike[str] | None = None, title: str | None = None, overwrite: bool = False
    ) -> Any:
        """Draws singular values and eigenvalues and, with `x`, the norms of the Jacobians; needs the extra `plots`.

        Returns:
            The matplotlib Figure.
        """
        from keras_vrnn.diagnostics.spectrum_plot import plot_spectrum

        return plot_spectrum(self, path=path, title=title, overwrite=overwrite)

    def to_dict(self) -> dict[str, Any]:
        """All values as plain numbers for JSON; None for a number that is not finite."""
        norms = self.jacobian_norms
        return {
            "name": self.name,
            "singular_values": self.singular_values.tolist(),
            "spectral_radius": self.spectral_radius,
            "slope_bound": _plain(self.slope_bound),
            "alpha": self.alpha,
            "beta": self.beta,
            "bound": _plain(self.bound),
            "jacobian_norm_median": None if norms is None else _plain(np.nanmedian(norms)),
            "jacobian_norm_max": None if norms is None else _plain(np.nanmax(norms)),
            "lyapunov": _plain(self.lyapunov),
        }

    def __str__(self) -> str:
        smallest = self.singular_values[-1]
        lines = [
            f"{self.name}: {len(self.singular_values)} units",
            f"  W_h: singular values {self.norm:.4f} to {smallest:.2g}, spectral radius {self.spectral_radius:.4f}",
            f"  bound of a step back, {self.bound_formula}: {self._bound_in_words()}",
        ]
        if (self.alpha, self.beta) != (1, 0):
            lines.insert(2, f"  α {self.alpha:.4f}, β {self.beta:.4f}")
        if self.jacobian_norms is not None:
            low, high = np.nanmin(self.jacobian_norms), np.nanmax(self.jacobian_norms)
            middle = np.nanmedian(self.jacobian_norms)
            lines.append(f"  ‖∂h_t/∂h_(t-1)‖ on the data: median {middle:.4f}, from {low:.4f} to {high:.4f}")
            lines.append(
                f"  largest Lyapunov exponent: {self.lyapunov:+.4f}, a factor of {np.exp(self.lyapunov):.4f} per step"
            )
        return "\n".join(lines)

    def _bound_in_words(self):
        bound = self.bound
        if bound is None:
            return "unknown for this activation"
        if bound == 0:
            return "0: no gradient is carried back"
        if bound < 1:
            steps = math.ceil(math.log(0.01) / math.log(bound))
            return f"{bound:.4f}, so that the gradient is below 1 % of the last step's contribution after {steps} steps"
        return f"{bound:.4f}, so that the gradient may vanish or explode"


def spectrum(
    layer: Any,
    x: npt.ArrayLike | None = None,
    mask: npt.ArrayLike | None = None,
    initial_state: npt.ArrayLike | None = None,
) -> Spectrum:
    """Measures what a recurrent kernel does to gradients.

    Without data: singular values and spectral radius of W_h. On data also the norms of the Jacobians and the largest
    Lyapunov exponent.

    The bound ‖∂h_t/∂h_{t-1}‖ ≤ γ_W·γ_φ comes from Pascanu, Mikolov & Bengio 2013 ("On the difficulty of training
    recurrent neural networks", section 2.1): below 1 the gradient must vanish, and only above 1 it can explode. The
    exponent is computed as in Benettin et al. 1980 ("Lyapunov characteristic exponents", part 2): a tangent vector
    passes through the Jacobians and is normalized at every step. The exponent is the mean of the logarithms over steps
    and sequences, without the first tenth of the steps. If it is negative, small changes of the state fade, and
    gradients with them. If it is positive, they grow: chaos.

    Args:
        layer: a built vanilla RNN or FastRNN, layer or cell, of this package or of Keras.
        x: the input of the layer, (batch, time, features); None for the kernel alone. Each step of each sequence costs
            a singular value decomposition of (units, units): a few sequences are enough.
        mask: (batch, time) bool, False at steps that are left out.
        initial_state: h_0, (batch, units); zeros by default.

    Returns:
        A `Spectrum`.

    Raises:
        TypeError: `layer` is neither a vanilla RNN nor a FastRNN.
        ValueError: The layer is not built, or `x`, `mask` or `initial_state` do not fit.

    Examples:
        >>> layer = kv.VanillaRNN(8, recurrent_initializer="orthogonal")
        >>> layer.build((None, None, 3))
        >>> round(kv.diagnostics.spectrum(layer).norm, 4)
        1.0
    """
    cell, weights, alpha, beta = parameters(layer)
    eigenvalues = np.linalg.eigvals(weights[1])
    found: dict[str, Any] = {
        "name": layer.name,
        "singular_values": np.linalg.svd(weights[1], compute_uv=False),
        "eigenvalues": eigenvalues[np.argsort(-abs(eigenvalues))],
        "slope_bound": SLOPE_BOUNDS.get(cell.activation),
        "alpha": alpha,
        "beta": beta,
    }
    if x is not None:
        _, slopes, counts = states_and_slopes(layer, x, mask, initial_state)
        found["jacobian_norms"] = _jacobian_norms(weights[1], slopes, beta, counts)
        found["lyapunov"] = _lyapunov(weights[1], slopes, beta, counts)
    return Spectrum(**found)


def parameters(layer):
    """Returns the cell of a layer, its weights (W_x, W_h, b or None) in float64, α and β; errors as `spectrum`."""
    cell = getattr(layer, "cell", layer)
    if not isinstance(cell, keras.layers.SimpleRNNCell):
        inner = [
            f"`.{name}`"
            for name in ("forward_layer", "backward_layer", "layers", "cells")
            if hasattr(cell, name)
        ]
        hint = f"Pass one of the layers in its {' or '.join(inner)}." if inner else ""
        raise TypeError(
            "`layer` must be a vanilla RNN layer or cell (kv.VanillaRNN, kv.FastRNN, keras.layers.SimpleRNN). "
            "Received: layer of "
            f"type {type(layer).__name__}. {hint or 'gradient_flow works for every recurrent layer.'}"
        )
    if not cell.built:
        raise ValueError(
            f"layer {layer.name!r} has no weights yet: call it on data, or layer.build(shape), first."
        )
    weights = [None if w is None else _float64(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    alpha, beta = _rates(cell)
    _check_finite(layer, [*weights, alpha, beta])
    return cell, weights, alpha, beta


def states_and_slopes(layer, x, mask=None, initial_state=None):
    """Runs a layer; arguments and errors as `spectrum`.

    Returns:
        h_t and α·φ'(z_t), both (batch, steps, units), and which steps are not masked, (batch, steps), in the order of
        processing.
    """
    cell, weights, alpha, beta = parameters(layer)
    if type(cell).call not in (VanillaRNNCell.call, FastRNNCell.call, keras.layers.SimpleRNNCell.call):
        raise ValueError(
            f"cell {type(cell).__name__} has a `call` of its own, whose Jacobian is unknown here."
        )
    kernel, recurrent_kernel, bias = weights
    x, counts, h = _checked_data(layer, np.asarray(x, "float64"), mask, initial_state, kernel)
    if getattr(layer, "go_backwards", False):
        x, counts = x[:, ::-1], counts[:, ::-1]
    z_input = x @ kernel + (0 if bias is None else bias)
    states, slopes = np.empty_like(z_input), np.empty_like(z_input)
    for t in range(x.shape[1]):
        value, slopes[:, t] = _activated(cell.activation, z_input[:, t] + h @ recurrent_kernel)
        states[:, t] = h = np.where(counts[:, t, None], alpha * value + beta * h, h)
    return states, alpha * slopes, counts


def _rates(cell):
    """α and β of a FastRNN; 1 and 0 for a vanilla RNN."""
    if not isinstance(cell, FastRNNCell):
        return 1.0, 0.0
    return tuple(float(1 / (1 + np.exp(-_float64(weight)))) for weight in (cell.alpha, cell.beta))


def _activated(activation, z):
    """φ(z) and φ'(z) of an elementwise φ."""
    import tensorflow as tf

    z = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = activation(z)
    return value.numpy(), tape.gradient(value, z).numpy()


def _jacobian_norms(recurrent_kernel, slopes, beta, counts):
    norms = np.full(counts.shape, np.nan)
    for t in range(counts.shape[1]):
        jacobians = recurrent_kernel * slopes[:, t, None, :] + beta * np.eye(len(recurrent_kernel))
        norms[:, t] = np.linalg.norm(jacobians, ord=2, axis=(1, 2))
    return np.where(counts, norms, np.nan)


def _lyapunov(recurrent_kernel, slopes, beta, counts):
    """Mean of ln ‖v_{t-1}·J_t‖, v normalised: the first column of the QR method."""
    batch, steps, units = slopes.shape
    v = np.random.default_rng(0).normal(size=(batch, units))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    growth = np.zeros((batch, steps))
    for t in range(steps):
        after = (v @ recurrent_kernel) * slopes[:, t] + beta * v
        norm = np.linalg.norm(after, axis=1)
        alive = counts[:, t] & (norm > 0)
        with np.errstate(divide="ignore"):  # all slopes are 0, all ReLUs off: ln 0
            growth[:, t] = np.where(counts[:, t], np.log(norm), 0)
        v = np.where(alive[:, None], after / np.where(alive, norm, 1)[:, None], v)
    seen = counts.cumsum(axis=1)
    used = counts & (seen > _WARM_UP * seen[:, -1:])
    return float(growth[used].mean())


def _checked_data(layer, x, mask, initial_state, kernel):
    if x.ndim != 3 or x.shape[2] != kernel.shape[0] or 0 in x.shape:
        raise ValueError(
            f"`x` must be the input of layer {layer.name!r}, of shape (batch, time, {kernel.shape[0]}). Received: "
            f"shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("`x` must be finite. Received: inf or NaN in it.")
    counts = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    if counts.shape != x.shape[:2]:
        raise ValueError(
            f"`mask` must have shape (batch, time) = {x.shape[:2]}. Received: shape {counts.shape}."
        )
    if not counts.any():
        raise ValueError("`mask` must leave at least one step. Received: False everywhere.")
    state_shape = (len(x), kernel.shape[1])
    h = np.zeros(state_shape) if initial_state is None else np.asarray(initial_state, "float64")
    if h.shape != state_shape:
        raise ValueError(
            f"`initial_state` must have shape (batch, units) = {state_shape}. Received: shape {h.shape}."
        )
    return x, counts, h


def _check_finite(layer, weights):
    if not all(np.isfinite(weight).all() for weight in weights if weight is not None):
        raise ValueError(
            f"layer {layer.name!r} has inf or NaN in its weights. Restore weights that were saved before."
        )


def _float64(weight):
    return keras.ops.convert_to_numpy(weight).astype("float64")


def _plain(value):
    return float(value) if value is not None and np.isfinite(value) else None

"""The unrolled network on one sequence, as numbers and as an interactive page of HTML (TensorFlow)."""

import html
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_vrnn import _files
from keras_vrnn._shown import Shown
from keras_vrnn._version import __version__
from keras_vrnn.diagnostics import jacobians, probe, recurrences

_PAGE = Path(__file__).with_name("unrolled.html")
_DIGITS = 7  # of the numbers in a page


@dataclass(frozen=True, eq=False)
class UnrolledLayer:
    """One vanilla RNN or FastRNN on one sequence; steps are in the order of processing.

    Attributes:
        name: path of the layer.
        states: h_t, shape (steps, units), float64. A masked step repeats the state before it.
        singular_values: of ∂h_T/∂h_t, the product of the Jacobians from t to the last step T, shape (steps, units),
            largest first; 1 at the last step, NaN where the product overflows float64.
        gradient_norms: ‖∂L/∂h_t‖, shape (steps,), NaN at masked steps; None without targets.
    """

    name: str
    states: np.ndarray
    singular_values: np.ndarray
    gradient_norms: np.ndarray | None = None

    @property
    def product_norms(self) -> np.ndarray:
        """‖∂h_T/∂h_t‖₂, shape (steps,)."""
        return self.singular_values[:, 0]


@dataclass(frozen=True, eq=False, repr=False)
class Unrolled(Shown):
    """The result of `unroll`; `print` it, or write it as a page. In a notebook, it is that page.

    Attributes:
        model: the model's name.
        sequence: the index of the sequence.
        layers: an `UnrolledLayer` for every vanilla RNN and FastRNN, in the order of calls.
    """

    model: str
    sequence: int
    layers: tuple[UnrolledLayer, ...]

    def to_dict(self) -> dict[str, Any]:
        """All values as plain numbers for JSON, with seven digits; None for a number that is not finite."""
        return {
            "title": f"{self.model}, sequence {self.sequence}, unrolled in time",
            "origin": f"keras-vrnn {__version__}",
            "layers": [
                {
                    "name": layer.name,
                    "states": _plain(layer.states),
                    "singular_values": _plain(layer.singular_values),
                    "gradient": None if layer.gradient_norms is None else _plain(layer.gradient_norms),
                }
                for layer in self.layers
            ],
        }

    def to_html(self) -> str:
        """The page: a slider for t, the states, the singular values and the norms; it needs no other file."""
        content = json.dumps(self.to_dict(), allow_nan=False, separators=(",", ":"))
        # Nothing in a name may end the script.
        return _PAGE.read_text(encoding="utf-8").replace(
            ">DATA<", f">{content.replace('<', chr(92) + 'u003c')}<", 1
        )

    def write_html(self, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Writes `to_html` into a file and returns its path.

        Raises:
            FileExistsError, OSError: `path` exists, or cannot be written.
        """
        target = _files.check_writable(path, overwrite)
        with _files.replacing(target) as temporary:
            temporary.write_text(self.to_html(), encoding="utf-8")
        return target

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{html.escape(self.to_html())}" style="width:100%;height:60rem;border:0"></iframe>'

    def __str__(self) -> str:
        lines = [f"{self.model}, sequence {self.sequence}"]
        for layer in self.layers:
            steps = len(layer.states)
            columns = [np.linalg.norm(layer.states, axis=1), layer.product_norms]
            columns += [] if layer.gradient_norms is None else [layer.gradient_norms]
            names = ["‖h_t‖", "‖∂h_T/∂h_t‖", "‖∂L/∂h_t‖"][: len(columns)]
            lines += [layer.name, f"{'t':>6} " + " ".join(f"{name:>12}" for name in names)]
            for t in np.unique(np.linspace(0, steps - 1, min(steps, 6)).round().astype(int)):
                lines.append(f"{t + 1:6d} " + " ".join(f"{column[t]:12.4g}" for column in columns))
        return "\n".join(lines)


def unroll(model: keras.Model, x: Any, y: Any = None, loss: Any = None, *, sequence: int = 0) -> Unrolled:
    """Follows one sequence through the vanilla RNNs of a model: states, products of Jacobians, gradients.

        ∂h_T/∂h_t = J_{t+1}·J_{t+2} ⋯ J_T        J_t = ∂h_t/∂h_{t-1}, as in `spectrum`

    (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", equation 5). The states
    and the products are computed in float64, from the input that each layer receives; the gradients by `gradient_flow`.
    Each step costs a singular value decomposition of (units, units).

    Args:
        model: a Keras model with vanilla RNN or FastRNN layers, on the TensorFlow backend; other recurrent layers are
            left out.
        x: inputs as for `fit`, batch first.
        y: targets as for `fit`, for the gradient of the loss; None to leave it out.
        loss: as for `gradient_flow`, with `y`.
        sequence: which sequence of `x` to follow.

    Returns:
        An `Unrolled`.

    Raises:
        ValueError: there is no vanilla RNN, no such sequence, or no loss.
        TypeError, RuntimeError: as `gradient_flow`.

    Examples:
        >>> model = keras.Sequential([keras.Input((30, 3)), kv.VanillaRNN(8), keras.layers.Dense(1)])
        >>> x, y = np.ones((4, 30, 3), "float32"), np.ones((4, 1), "float32")
        >>> (layer,) = kv.diagnostics.unroll(model, x, y, loss="mse").layers
        >>> layer.states.shape, layer.singular_values.shape, layer.gradient_norms.shape
        ((30, 8), (30, 8), (30,))
    """
    count = len(keras.tree.flatten(x)[0])
    if not isinstance(sequence, int) or not 0 <= sequence < count:
        raise ValueError(
            f"`sequence` must be the index of one of the {count} sequences of `x`, from 0. Received: {sequence!r}."
        )
    x, y = (
        keras.tree.map_structure(
            lambda array: None if array is None else array[sequence : sequence + 1], part
        )
        for part in (x, y)
    )
    with probe.states_restored(model):
        calls = recurrences.vanilla_calls(model, x)
    if not calls:
        raise ValueError(
            f"`model` must have a vanilla RNN or FastRNN layer, whose Jacobians are known. Received: {model.name!r} "
            "without one. gradient_flow measures every recurrent layer."
        )
    flow = None if y is None else probe.gradient_flow(model, x, y, loss)
    layers = []
    for name, layer, *data in calls:
        states, values = _states_and_products(layer, *data)
        layers.append(UnrolledLayer(name, states, values, None if flow is None else flow[name].norms))
    return Unrolled(model.name, sequence, tuple(layers))


def _states_and_products(layer, x, mask, initial_state):
    """h_t and the singular values of ∂h_T/∂h_t."""
    (states,), (slopes,), (counts,) = jacobians.states_and_slopes(layer, x, mask, initial_state)
    _, (_, recurrent_kernel, _), _, beta = jacobians.parameters(layer)
    identity = np.eye(len(recurrent_kernel))
    product, values = identity, np.empty_like(states)
    for t in reversed(range(len(states))):
        values[t] = np.linalg.svd(product, compute_uv=False) if np.isfinite(product).all() else np.nan
        if counts[t]:
            with np.errstate(over="ignore", invalid="ignore"):  # an exploding gradient
                product = (recurrent_kernel * slopes[t] + beta * identity) @ product
    return states, values


def _plain(array):
    """Nested lists of numbers with a few digits; None for what is not finite."""
    if array.ndim > 1:
        return [_plain(row) for row in array]
    return [float(f"{v:.{_DIGITS - 1}e}") if np.isfinite(v) else None for v in array]

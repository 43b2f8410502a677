"""How far back the gradient reaches: ‖∂L/∂h_t‖ of every recurrent layer at every time step."""

import json
import math
from dataclasses import dataclass

import numpy as np

from keras_vrnn.diagnostics import verdict as verdicts


@dataclass(frozen=True, eq=False)
class LayerFlow:
    """The gradient's way back through one recurrent layer (one cell of `RNN([cells])`).

    Attributes:
        name: path of the layer.
        norms: ‖∂L/∂h_t‖ over batch and units, shape (steps,), float64, in the order in which the layer goes through
            the sequence; NaN at a step that is masked in every sequence. L is the loss of the whole batch.
        decay: the norm k steps before the last one that the loss depends on, relative to that, shape (steps,): root
            mean square over the sequences that have so many steps; masked steps do not count. Where the loss has a term
            at every step, of the last step's term alone: how far back one error is felt. For a backward layer below a
            layer that looks at the end of the sequence, counted from that end.
        gated: whether the cell is an LSTM's or a GRU's.
        floor: the smallest normal number of the dtype that the layer computes in: what is smaller is counted as 0.
    """

    name: str
    norms: np.ndarray
    decay: np.ndarray
    gated: bool
    floor: float

    @property
    def steps(self):
        return len(self.decay)

    @property
    def horizon(self):
        """Steps back from the end until the norm has fallen to 1 %; all steps if it never does."""
        gone = np.flatnonzero(~(self.decay > verdicts.GONE))
        return int(gone[0]) if len(gone) else self.steps

    @property
    def rate(self):
        """Factor per step back: least squares of ln(decay) where it is above 0; NaN for fewer than two steps."""
        fits = np.flatnonzero(np.isfinite(self.decay) & (self.decay > 0))
        if len(fits) < 2:
            return math.nan
        return float(np.exp(np.polyfit(fits, np.log(self.decay[fits]), 1)[0]))

    @property
    def verdict(self):
        """A `Verdict`: healthy, vanishing (horizon below a quarter of the steps) or exploding (growing 100-fold)."""
        return self.judge()

    def judge(self, short=verdicts.SHORT):
        """The verdict, by which a horizon below `short` times the steps is too short."""
        return verdicts.of_flow(self.decay, self.horizon, self.gated, short)


@dataclass(frozen=True, eq=False)
class GradientFlow:
    """What `gradient_flow` found; `print` it, `plot` it.

    Attributes:
        layers: a `LayerFlow` for every recurrent layer, in the order of calls, forward before backward.
        loss: L.
        sequences: sequences in the batch.
    """

    layers: tuple[LayerFlow, ...]
    loss: float
    sequences: int

    def __getitem__(self, name):
        """The `LayerFlow` of that name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"There is no layer {name!r}; there are {', '.join(self.norms)}.")

    @property
    def norms(self):
        """‖∂L/∂h_t‖ by layer, each (steps,)."""
        return {layer.name: layer.norms for layer in self.layers}

    @property
    def horizon(self):
        """Steps back that the model sees: of layers over equally many steps the longest horizon, of those the shortest.

        A stack sees as far as the layer with the longest memory. An encoder and its decoder have their own steps.
        """
        return min(layer.horizon for layer in self._leading)

    @property
    def verdict(self):
        """That of a layer that explodes, else of the layer whose horizon is the model's."""
        return self.judge()

    def judge(self, short=verdicts.SHORT):
        """The verdict, by which a horizon below `short` times the steps is too short."""
        exploding = [layer for layer in self.layers if layer.judge(short).kind == "exploding"]
        layer = (
            exploding[0] if exploding else min(self._leading, key=lambda layer: layer.horizon / layer.steps)
        )
        found = layer.judge(short)
        if len(self.layers) == 1:
            return found
        return verdicts.Verdict(found.kind, f"{layer.name}: {found.reason}", found.remedy)

    @property
    def _leading(self):
        longest: dict[int, LayerFlow] = {}
        for layer in self.layers:
            if layer.steps not in longest or layer.horizon > longest[layer.steps].horizon:
                longest[layer.steps] = layer
        return longest.values()

    def plot(self, path=None, title=None, overwrite=False):
        """Draws each layer's decay over the steps back, on a log axis, and saves it if there is a path.

        Needs the extra `plots`. Several models in one picture: `plot_gradient_flow`.

        Returns:
            The matplotlib Figure.
        """
        from keras_vrnn.diagnostics.flow_plot import plot_gradient_flow

        return plot_gradient_flow(self, path=path, title=title, overwrite=overwrite)

    def to_dict(self):
        """All figures as plain numbers for JSON; None for what is not a finite number."""
        return {
            "loss": _plain(self.loss),
            "sequences": self.sequences,
            "horizon": self.horizon,
            "verdict": self.verdict.kind,
            "reason": self.verdict.reason,
            "remedy": self.verdict.remedy,
            "layers": [
                {
                    "name": layer.name,
                    "steps": layer.steps,
                    "horizon": layer.horizon,
                    "rate": _plain(layer.rate),
                    "verdict": layer.verdict.kind,
                    "norms": [_plain(norm) for norm in layer.norms],
                    "decay": [_plain(value) for value in layer.decay],
                }
                for layer in self.layers
            ],
        }

    def to_json(self):
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self):
        width = max(5, *(len(layer.name) for layer in self.layers))
        lines = [f"{'layer':{width}} {'steps':>6} {'horizon':>8} {'rate':>7} {'first/last':>11}  verdict"]
        for layer in self.layers:
            first = layer.decay[-1] if layer.steps else math.nan
            lines.append(
                f"{layer.name:{width}} {layer.steps:6d} {layer.horizon:8d} {layer.rate:7.4f} {first:11.2e}"
                f"  {layer.verdict.kind}"
            )
            if layer.steps and not layer.decay[-1] and layer.decay[0] > 0:
                lines.append(
                    f"{'':{width}} a gradient below {layer.floor:.0e} is 0 in this layer's arithmetic"
                )
        return "\n".join([*lines, str(self.verdict)])


def decay_of(norms, counts):
    """The norm k steps before each sequence's last step that counts, relative to the last.

    Args:
        norms: (batch, steps) norms by sequence, in the order of processing.
        counts: (batch, steps) bool, False at masked steps.

    Returns:
        (most steps of a sequence,), root mean square over the sequences that have so many steps. Steps after the last
        one that the loss depends on are left out; if there is no gradient at all, zeros.
    """
    lengths = counts.sum(axis=1)
    squares = np.zeros(lengths.max(initial=0))
    for row, counting in zip(norms, counts, strict=True):
        back = row[counting][::-1]
        squares[: len(back)] += back**2
    sequences = (lengths[:, None] > np.arange(len(squares))).sum(axis=0)
    means = np.sqrt(squares / sequences)
    read = np.flatnonzero(means)
    if not len(read):
        return means
    means = means[read[0] :]
    with np.errstate(invalid="ignore"):  # inf/inf: an exploding gradient
        return means / means[0]


def _plain(value):
    return float(value) if np.isfinite(value) else None

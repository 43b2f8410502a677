"""How far back the gradient reaches: the results of `gradient_flow`, and the verdict on them."""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_vrnn._shown import Shown
from keras_vrnn.diagnostics import broken, remedies
from keras_vrnn.diagnostics.verdict import EXPLODED, GONE, LEARNED, SHORT, Verdict


@dataclass(frozen=True, eq=False)
class LayerFlow:
    """The way of the gradient back through one recurrent layer (one cell of `RNN([cells])`).

    "k steps back" counts from the last step of a sequence that the loss depends on, over the steps that are not masked.

    Attributes:
        name: path of the layer.
        norms: ‖∂L/∂h_t‖ over batch and units, shape (steps,), float64, in the order of processing; NaN at a step that
            is masked in every sequence. L is the loss of the whole batch. The derivative is total: what the loss reads
            of h_t directly, plus what the recurrence carries back from later steps.
        direct: the direct part alone, k steps back, relative to its largest value, shape (longest sequence,).
        decay: what the recurrence carries: the norm k steps back of the gradient that enters at the last step alone,
            relative to its norm there, shape (longest sequence,); root mean square over the sequences that have that
            many steps. It is the gradient by the whole state, for an LSTM h and c. No later reading of the loss adds to
            it, so it shows the recurrence and not the loss.
        amplification: largest ‖∂L/∂h_t‖ over the largest direct part: what the recurrence makes of what the loss reads.
        relative_loss: the loss relative to chance, see `GradientFlow.chance`.
        floor: the smallest normal number of the dtype in which the layer computes: a smaller number counts as 0.
        traits: what the cell is and has.
    """

    name: str
    norms: np.ndarray
    direct: np.ndarray
    decay: np.ndarray
    amplification: float
    relative_loss: float
    floor: float
    traits: remedies.Traits

    @property
    def steps(self) -> int:
        return len(self.decay)

    @property
    def horizon(self) -> int:
        """Steps back until what the recurrence carries has fallen to 1 %; all steps if it never does."""
        gone = np.flatnonzero(~(self.decay > GONE))
        return int(gone[0]) if len(gone) else self.steps

    @property
    def rate(self) -> float:
        """Factor per step back: least squares of ln(decay) where it is above 0; NaN for fewer than two steps."""
        fits = np.flatnonzero(np.isfinite(self.decay) & (self.decay > 0))
        if len(fits) < 2:
            return math.nan
        return float(np.exp(np.polyfit(fits, np.log(self.decay[fits]), 1)[0]))

    @property
    def has_learned(self) -> bool:
        """Whether the task is learned: `relative_loss` is at most 0.2."""
        return self.relative_loss <= LEARNED

    @property
    def verdict(self) -> Verdict:
        """Healthy, vanishing (the horizon is below a quarter of the steps) or exploding (growing 100-fold)."""
        return self.judge()

    def judge(self, short: float = SHORT) -> Verdict:
        """The verdict if a horizon below `short` times the steps is too short."""
        if not np.isfinite(self.decay).all():
            reason = f"the gradient is not finite within {self.steps} steps"
            return Verdict("exploding", reason, remedies.exploding(self.traits))
        if self.decay.max(initial=0.0) >= EXPLODED:
            return self._grown()
        if not self.decay.any() or self.horizon < short * self.steps:
            return self._faded()
        if self.horizon == self.steps:
            reached = f"back over all {self.steps} steps" if self.steps > 1 else "the only step"
            return Verdict("healthy", f"the gradient reaches {reached}")
        return Verdict("healthy", f"the gradient reaches {self.horizon} of {self.steps} steps back")

    def _grown(self):
        back = int(self.decay.argmax())
        reason = f"the gradient grows {self.decay[back]:.3g}-fold in {back} steps back"
        if self.has_learned:
            return Verdict("healthy", f"{reason}, and {self._learned()}")
        if self.amplification < EXPLODED:
            return Verdict(
                "healthy", f"{reason}, but what the loss reads of those steps directly outweighs it"
            )
        return Verdict("exploding", reason, remedies.exploding(self.traits))

    def _faded(self):
        reaches_none = not self.decay.any()
        reason = f"the gradient falls to 1 % within {self.horizon} of {self.steps} steps"
        if reaches_none:
            reason = "no gradient reaches any of the steps"
        if self.has_learned:
            return Verdict("healthy", f"{reason}, and {self._learned()}")
        if reaches_none:
            return Verdict("vanishing", reason, remedies.DEAD)
        # With a target for every step, an early step is read for its own target, which needs no memory.
        if not self.traits.per_step and self.direct[self.horizon :].max(initial=0.0) >= GONE:
            return Verdict("healthy", f"{reason}, but the loss reads earlier steps directly")
        return Verdict("vanishing", reason, remedies.vanishing(self.traits))

    def _learned(self):
        return f"the task is learned: the loss is {self.relative_loss:.2g} of chance"


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Shown):
    """The result of `gradient_flow`; `print` it, `plot` it.

    Attributes:
        layers: a `LayerFlow` for every recurrent layer, in the order of calls, forward before backward.
        loss: L.
        chance: the loss when every sequence has the targets of another sequence, the mean over several such exchanges;
            both without regularization. A model that has learned nothing from its input is there. NaN for a single
            sequence.
        sequences: sequences in the batch.
        broken: what holds inf or NaN: paths of weights, "x", "y"; empty if nothing does.
    """

    layers: tuple[LayerFlow, ...]
    loss: float
    chance: float
    sequences: int
    broken: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> LayerFlow:
        """The `LayerFlow` of that name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"There is no layer {name!r}; there are {', '.join(self.norms)}.")

    @property
    def norms(self) -> dict[str, np.ndarray]:
        """‖∂L/∂h_t‖ by layer, each (steps,)."""
        return {layer.name: layer.norms for layer in self.layers}

    @property
    def horizon(self) -> int:
        """Steps back that the recurrences of the model carry.

        A stack reaches as far as the layer with the longest memory: among layers over equally many steps, the longest
        horizon counts. An encoder and its decoder have steps of their own: among them the shortest counts.
        """
        return min(layer.horizon for layer in self._leading)

    @property
    def relative_loss(self) -> float:
        """The loss relative to chance, both without regularization; NaN where there is no such ratio."""
        return self.layers[0].relative_loss

    @property
    def has_learned(self) -> bool:
        """Whether the task is learned: `relative_loss` is at most 0.2."""
        return self.layers[0].has_learned

    @property
    def verdict(self) -> Verdict:
        """The verdict on a layer that explodes; if there is none, on the layer whose horizon is the model's."""
        return self.judge()

    def judge(self, short: float = SHORT) -> Verdict:
        """The verdict if a horizon below `short` times the steps is too short."""
        if self.broken:
            return broken.verdict(self.broken)
        exploding = [layer for layer in self.layers if layer.judge(short).kind == "exploding"]
        if not exploding and not math.isfinite(self.loss):
            reason = "the loss is not finite, though weights, data and recurrences are"
            return Verdict("broken", reason, remedies.BROKEN_LOSS)
        layer = (
            exploding[0] if exploding else min(self._leading, key=lambda layer: layer.horizon / layer.steps)
        )
        found = layer.judge(short)
        if len(self.layers) == 1:
            return found
        return Verdict(found.kind, f"{layer.name}: {found.reason}", found.remedy)

    @property
    def _leading(self):
        longest: dict[int, LayerFlow] = {}
        for layer in self.layers:
            if layer.steps not in longest or layer.horizon > longest[layer.steps].horizon:
                longest[layer.steps] = layer
        return longest.values()

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        overwrite: bool = False,
    ) -> Any:
        """Draws the decay of each layer over the steps back, on a log axis, and saves the picture if there is a path.

        Needs the extra `plots`. Several models in one picture: `plot_gradient_flow`.

        Returns:
            The matplotlib Figure.
        """
        from keras_vrnn.diagnostics.flow_plot import plot_gradient_flow

        return plot_gradient_flow(self, path=path, title=title, overwrite=overwrite)

    def to_dict(self) -> dict[str, Any]:
        """All values as plain numbers for JSON; None for a number that is not finite."""
        return {
            "loss": _plain(self.loss),
            "chance": _plain(self.chance),
            "sequences": self.sequences,
            "broken": list(self.broken),
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
                    "amplification": _plain(layer.amplification),
                    "verdict": layer.verdict.kind,
                    "norms": [_plain(norm) for norm in layer.norms],
                    "direct": [_plain(value) for value in layer.direct],
                    "decay": [_plain(value) for value in layer.decay],
                }
                for layer in self.layers
            ],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        width = max(5, *(len(layer.name) for layer in self.layers))
        lines = [f"{'layer':{width}} {'steps':>6} {'horizon':>8} {'rate':>7} {'first/last':>11}  verdict"]
        for layer in self.layers:
            first = layer.decay[-1] if layer.steps else math.nan
            kind = "broken" if self.broken else layer.verdict.kind
            lines.append(
                f"{layer.name:{width}} {layer.steps:6d} {layer.horizon:8d} {layer.rate:7.4f} {first:11.2e}  {kind}"
            )
            if layer.steps and not layer.decay[-1] and layer.decay[0] > 0:
                lines.append(
                    f"{'':{width}} a gradient below {layer.floor:.0e} is 0 in this layer's arithmetic"
                )
        if math.isfinite(self.relative_loss):
            lines.append(f"the loss is {self.relative_loss:.2g} of chance")
        return "\n".join([*lines, str(self.verdict)])


def _plain(value):
    return float(value) if np.isfinite(value) else None

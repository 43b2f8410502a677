"""The callback that judges a training by its gradients, and says what to do."""

import math
import numbers
import warnings

import numpy as np

from keras_vrnn.diagnostics import health
from keras_vrnn.diagnostics.verdict import SHORT, Verdict
from keras_vrnn.training.callbacks.reader import NormReader
from keras_vrnn.training.history import NormHistory

_REACTIONS = ("warn", "stop")


class GradientHealth(NormReader):
    """Judges the gradients at the end of each epoch: healthy, clip-bound, vanishing or exploding; why; what to do.

    For models of all layers. The first rule that holds:

    - exploding: gradients that are not finite; or a norm that grows while the loss does not fall; or, in `sample`, a
      gradient that grows 100-fold on its way back in time.
    - vanishing: a norm near zero, unless the loss is down to a tenth; or, in `sample`, a gradient horizon much shorter
      than the sequence.
    - clip-bound: clipping changes most steps, so that its threshold and not the gradient sets the size of the steps.
    - healthy.

    Args:
        on_unhealthy: "warn" gives a warning, once for each kind of verdict; "stop" ends training as well.
        sample: (x, y), a few sequences as for `fit`, for the rules on the horizon: `kv.diagnostics.gradient_flow` is
            taken of them after each epoch. A callback sees no batches, so there is no default; some validation data is
            what to give. Without it, those rules are left out: norms alone do not tell how far back a gradient reaches.
        window: The verdict is on so many steps, the latest: enough for a median that one odd batch does not move.
        min_steps: Below so many steps the verdict is "unknown".
        clipped_share: Clip-bound above this share of clipped steps: more than half is the rule, not the exception.
        near_zero: A median norm at or below this is near zero. Adam's epsilon is 1e-7 for each entry: of gradients not
            far above it, even Adam, which scales them up, makes small steps.
        growth: A norm that is so many times the smallest median so far, grows: ten times is beyond what the learning
            of a healthy network brings, mostly two to five.
        nonfinite_share: Exploding from this share of steps with inf or NaN. One bad batch is bad data.
        horizon_share: A horizon below this part of the steps is too short: three quarters of what the network reads
            then hardly move its weights. Choose less for a task that the last steps decide.

    Attributes:
        verdict: The latest `kv.diagnostics.Verdict`: `kind`, `reason`, `remedy`.
        verdicts: Those of all epochs.
        flow: The latest `GradientFlow` of `sample`, or None.

    Raises:
        TypeError, ValueError: An argument out of its range, or a model that is not of this package.

    Example::

        health = kv.callbacks.GradientHealth(sample=(x_validation[:32], y_validation[:32]))
        model.fit(x, y, callbacks=[health])
        print(health.verdict)
    """

    def __init__(
        self,
        on_unhealthy="warn",
        sample=None,
        *,
        window=200,
        min_steps=10,
        clipped_share=0.5,
        near_zero=1e-6,
        growth=10.0,
        nonfinite_share=0.05,
        horizon_share=SHORT,
    ):
        super().__init__()
        if on_unhealthy not in _REACTIONS:
            raise ValueError(f"`on_unhealthy` must be 'warn' or 'stop', received {on_unhealthy!r}.")
        if sample is not None and not (isinstance(sample, (tuple, list)) and len(sample) == 2):
            raise ValueError(
                f"`sample` must be (x, y), a few sequences with targets, or None, received {type(sample).__name__}."
            )
        for name, value in {"window": window, "min_steps": min_steps}.items():
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer, received {value!r}.")
        if window < min_steps:
            raise ValueError(f"`window` must be at least min_steps={min_steps}, received {window}.")
        shares = {
            "clipped_share": clipped_share,
            "nonfinite_share": nonfinite_share,
            "horizon_share": horizon_share,
        }
        for name, value in shares.items():
            if not _is_number(value) or not 0 < value <= 1:
                raise ValueError(f"`{name}` must be a number above 0, and at most 1, received {value!r}.")
        if not _is_number(near_zero) or near_zero < 0:
            raise ValueError(f"`near_zero` must be a number of at least 0, received {near_zero!r}.")
        if not _is_number(growth) or growth <= 1:
            raise ValueError(f"`growth` must be a number above 1, received {growth!r}.")
        self._thresholds = health.Thresholds(
            min_steps=min_steps, near_zero=near_zero, growth=growth, **shares
        )
        self._on_unhealthy = on_unhealthy
        self._sample = sample
        self._window = window
        self._probe = None
        self._begin()

    def _begin(self):
        self._history = NormHistory(self._window, per_variable=False)
        self._losses: list[float] = []
        self._baseline = None
        self._warned: set[str] = set()
        self.verdicts: list[Verdict] = []
        self.flow = None

    @property
    def verdict(self):
        if not self.verdicts:
            return Verdict("unknown", "no epoch has ended")
        return self.verdicts[-1]

    def receive(self, rows):
        self._history.append(rows)

    def on_train_begin(self, logs=None):
        self._begin()
        if self._sample is not None:
            from keras_vrnn.diagnostics.probe import FlowProbe

            # Once before training: what does not fit is refused here, not after an epoch.
            self._probe = FlowProbe(self.model)
            self._probe.measure(*self._sample)

    def on_epoch_end(self, epoch, logs=None):
        self.read()
        if "loss" in (logs or {}):
            self._losses.append(float(logs["loss"]))
        if self._probe is not None:
            self.flow = self._probe.measure(*self._sample)
        norms, clipped_norms = self._history.columns()[2].T
        found = health.judge(
            norms,
            clipped_norms,
            self._settings,
            self._losses,
            self._thresholds,
            baseline=self._baseline,
            flow=self.flow,
            gated=self._has_gates(),
        )
        self.verdicts.append(found)
        self._lower_baseline(norms)
        if found.is_unhealthy:
            self._react(found, epoch)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._probe = None

    def _lower_baseline(self, norms):
        finite = norms[np.isfinite(norms)]
        if len(finite) >= self._thresholds.min_steps:
            median = float(np.median(finite))
            self._baseline = median if self._baseline is None else min(median, self._baseline)

    def _react(self, found, epoch):
        stops = self._on_unhealthy == "stop"
        if stops or found.kind not in self._warned:
            self._warned.add(found.kind)
            end = " Training stops here: on_unhealthy='stop'." if stops else ""
            warnings.warn(f"Gradients after epoch {epoch + 1} are {found}{end}", stacklevel=2)
        if stops:
            self.model.stop_training = True

    def _has_gates(self):
        from keras_vrnn.diagnostics import recurrences

        return any(map(recurrences.is_gated, recurrences.cells(self.model)))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)

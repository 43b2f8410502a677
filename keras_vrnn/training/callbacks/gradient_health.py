"""The callback that judges a training by its gradients and recommends what to do."""

import math
import warnings
from typing import Any

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.diagnostics import health
from keras_vrnn.diagnostics.verdict import SHORT, Verdict
from keras_vrnn.training.callbacks.reader import NormReader
from keras_vrnn.training.history import NormHistory

# The loss on the sample, relative to chance, must fall by this share: less is the noise of a small sample.
_LEARNS = 0.05


class GradientHealth(NormReader):
    """Judges the gradients at the end of each epoch, and recommends what to do if they are not healthy.

    It works for models of all layers. The verdict comes from the first rule that holds:

    - broken: inf or NaN in the weights, in `sample` or its loss, or in gradients that show no growth.
    - exploding: gradients that overflow; a norm that has grown since the loss was lowest, while the loss has risen; or,
      in `sample`, a gradient that grows 100-fold on its way back in time.
    - vanishing: a norm near zero while the loss is not; or, in `sample`, a gradient horizon much shorter than the
      sequence, while the model does not learn.
    - clip-bound: clipping shrinks most steps, and by a large factor, while the loss does not fall.
    - healthy.

    What has learned its task or converged is healthy: a network rightly forgets what the task does not need.

    Args:
        on_unhealthy: "warn" gives a warning, once per kind of verdict; "stop" ends training as well. The warning comes
            when the progress bar of the epoch is complete.
        sample: (x, y), a few sequences as for `fit`, for the rules on the way back in time:
            `kv.diagnostics.gradient_flow` measures them after each epoch. A callback receives no batches, so there is
            no default; use some validation data. Without it, those rules are left out: norms alone do not show how far
            back a gradient reaches.
        window: The verdict is about the latest `window` steps: enough for a median that one odd batch does not move.
        min_steps: With fewer steps the verdict is "unknown".
        clipped_share: Clip-bound above this share of clipped steps: if more than half are clipped, clipping is the rule
            and not the exception.
        clipped_ratio: Clip-bound from this factor on by which clipping shrinks the median step. Healthy trainings are
            often clipped two- or threefold in most steps, and adaptive optimizers such as Adam undo a constant factor.
        near_zero: A median norm at or below this is near zero. Adam's epsilon is 1e-7 per entry: with gradients not far
            above it, even Adam, which scales them up, makes small steps.
        growth: A norm has grown if it is `growth` times the median of the epoch with the lowest loss. In a healthy
            training it changes two- to fivefold.
        nonfinite_share: The rules on inf and NaN need this share of such steps. One bad batch is bad data.
        horizon_share: A horizon below this share of the steps is too short: three quarters of the input then hardly
            move the weights. Choose less for a task that the last steps decide.

    Attributes:
        verdict: The latest `kv.diagnostics.Verdict`: `kind`, `reason`, `remedy`.
        verdicts: The verdicts of all epochs.
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
        on_unhealthy: str = "warn",
        sample: tuple[Any, Any] | None = None,
        *,
        window: int = 200,
        min_steps: int = 10,
        clipped_share: float = 0.5,
        clipped_ratio: float = 10.0,
        near_zero: float = 1e-6,
        growth: float = 10.0,
        nonfinite_share: float = 0.05,
        horizon_share: float = SHORT,
    ) -> None:
        super().__init__()
        if on_unhealthy not in ("warn", "stop"):
            raise ValueError(
                f"`on_unhealthy` must be 'warn' or 'stop'. Received: on_unhealthy={on_unhealthy!r}"
            )
        if sample is not None and not (isinstance(sample, (tuple, list)) and len(sample) == 2):
            raise ValueError(
                "`sample` must be (x, y), a few sequences with targets, or None. Received: sample of type "
                f"{type(sample).__name__}"
            )
        self._window = checks.positive_int("window", window)
        self._thresholds = health.Thresholds(
            min_steps=checks.positive_int("min_steps", min_steps),
            clipped_share=_share("clipped_share", clipped_share),
            clipped_ratio=checks.number("clipped_ratio", clipped_ratio, at_least=1),
            near_zero=checks.number("near_zero", near_zero, at_least=0),
            growth=checks.number("growth", growth, above=1),
            nonfinite_share=_share("nonfinite_share", nonfinite_share),
            horizon_share=_share("horizon_share", horizon_share),
        )
        if self._window < self._thresholds.min_steps:
            raise ValueError(f"`window` must be at least min_steps={min_steps}. Received: window={window!r}")
        self._on_unhealthy = on_unhealthy
        self._sample = sample
        self._probe: Any = None
        self._begin()

    def _begin(self):
        self._history = NormHistory(self._window, per_variable=False)
        self._losses: list[float] = []
        self._relative_losses: list[float] = []
        self._lowest_loss = math.inf
        self._best_norm: float | None = None
        self._warned: set[str] = set()
        self._message: str | None = None
        self.verdicts: list[Verdict] = []
        self.flow = None

    @property
    def verdict(self) -> Verdict:
        if not self.verdicts:
            return Verdict("unknown", "no epoch has ended")
        return self.verdicts[-1]

    def receive(self, rows):
        self._history.append(rows)

    def on_train_begin(self, logs=None):
        self._begin()
        if self._sample is not None:
            from keras_vrnn.diagnostics.probe import FlowProbe

            # Before training, so that a sample that does not fit is refused here and not after an epoch.
            self._probe = FlowProbe(self.model)
            self._relative_losses.append(self._probe.measure(*self._sample).relative_loss)

    def on_epoch_begin(self, epoch, logs=None):
        self._warn()

    def on_epoch_end(self, epoch, logs=None):
        self.read()
        if "loss" in (logs or {}):
            self._losses.append(float(logs["loss"]))
        if self._probe is not None:
            self.flow = self._probe.measure(*self._sample)
            self._relative_losses.append(self.flow.relative_loss)
        norms, clipped_norms = self._history.columns()[2].T
        found = health.judge(self._training(norms, clipped_norms), self._thresholds)
        self.verdicts.append(found)
        self._remember(norms)
        if found.is_unhealthy:
            self._react(found, epoch)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._probe = None
        self._warn()

    def _training(self, norms, clipped_norms):
        from keras_vrnn.diagnostics import broken, recurrences, remedies

        clips = bool(self._settings.thresholds)
        cells = recurrences.cells(self.model)
        is_finite = np.isfinite(norms).all() and all(map(math.isfinite, self._losses))
        return health.Training(
            norms=norms,
            clipped_norms=clipped_norms,
            clipping=next(iter(self._settings.thresholds.items()), None),
            nonfinite=self._settings.nonfinite,
            losses=self._losses,
            best_norm=self._best_norm,
            broken=() if is_finite else broken.weights(self.model),
            flow=self.flow,
            is_learning=_falls(self._relative_losses),
            traits=remedies.traits_of(cells[0], clips) if cells else None,
        )

    def _remember(self, norms):
        """Keeps the median norm of the epoch with the lowest loss."""
        finite = norms[np.isfinite(norms)]
        enough = len(finite) >= self._thresholds.min_steps
        if enough and self._losses and self._losses[-1] < self._lowest_loss:
            self._lowest_loss = self._losses[-1]
            self._best_norm = float(np.median(finite))

    def _react(self, found, epoch):
        stops = self._on_unhealthy == "stop"
        if stops or found.kind not in self._warned:
            self._warned.add(found.kind)
            end = " Training stops here: on_unhealthy='stop'." if stops else ""
            self._message = f"Gradients after epoch {epoch + 1} are {found}{end}"
        if stops:
            self.model.stop_training = True

    def _warn(self):
        """Gives the warning of the last epoch: in `on_epoch_end` the progress bar has not ended its line yet."""
        if self._message is None:
            return
        message, self._message = self._message, None
        # No line of code is to blame, neither here nor in Keras: a name in the place of the file shows no source.
        warnings.warn_explicit(message, UserWarning, "<GradientHealth>", 1, module=__name__)


def _share(name, value):
    number = checks.number(name, value, above=0)
    if number > 1:
        raise ValueError(f"`{name}` must be a number above 0 and at most 1. Received: {name}={value!r}")
    return number


def _falls(losses):
    """Whether the latest relative loss is clearly the lowest, and below 1: above that, nothing is learned yet."""
    return len(losses) > 1 and losses[-1] < (1 - _LEARNS) * min([1.0, *losses[:-1]])

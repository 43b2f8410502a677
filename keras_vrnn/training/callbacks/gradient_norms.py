"""The callback that keeps gradient norms in memory, in a CSV file and for TensorBoard, and plots them."""

import os
from typing import TYPE_CHECKING

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.training.callbacks.reader import NormReader
from keras_vrnn.training.callbacks.tensorboard import EventFile
from keras_vrnn.training.history import CsvFile, NormHistory

if TYPE_CHECKING:
    import matplotlib.figure


def _check_path(name, value, kind):
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be the path of a {kind}, or None. Received: {name}={value!r}")


class GradientNorms(NormReader):
    """Keeps the gradient norms of every step, before and after clipping.

    A step is an update of the weights; with gradient accumulation over k batches, there is one every k batches. A step
    whose gradient is not finite is left out: `applied` is then False, and its norms after clipping are 0.

    Args:
        csv: Path of a CSV file, or None. Training writes every step to `NAME.part`, which gets its name when training
            ends; an interrupted training leaves the `.part`.
        per_variable: Whether to keep the norms of each variable besides the global norm.
        max_steps: Number of latest steps kept in memory; None for all. With 20 variables, 100,000 steps take 17 MB.
        overwrite: Whether `csv` may replace an existing file.
        tensorboard: Path of a folder for TensorBoard, or None. Training adds a file with one scalar per norm and step,
            named as the columns of the CSV file, and at the end of each epoch a histogram of log10 of each norm before
            clipping.

    Raises:
        TypeError: `csv` or `tensorboard` is not a path, or the model is not a `kv.Model` or `kv.Sequential`.
        ValueError: `max_steps` is not a positive integer.
        FileExistsError, OSError: Before training, if `csv` exists or cannot be written.

    Outside `fit`, attach it with `norms.set_model(model)`; it then records `train_on_batch`, too.

    Example::

        norms = kv.callbacks.GradientNorms(csv="norms.csv")
        model.fit(x, y, callbacks=[norms])
        norms.plot("norms.png")
    """

    def __init__(
        self,
        csv: str | os.PathLike | None = None,
        per_variable: bool = True,
        max_steps: int | None = 100_000,
        overwrite: bool = False,
        tensorboard: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        _check_path("csv", csv, "file")
        _check_path("tensorboard", tensorboard, "folder")
        if max_steps is not None:
            max_steps = checks.positive_int("max_steps", max_steps)
        self._history = NormHistory(max_steps, per_variable)
        self._csv = None if csv is None else CsvFile(csv, overwrite)
        self._events = None if tensorboard is None else EventFile(tensorboard)
        self._per_variable = per_variable

    def receive(self, rows):
        self._history.append(rows)
        outlets = [outlet for outlet in (self._csv, self._events) if outlet is not None]
        if outlets:
            batch = NormHistory(None, self._per_variable)
            batch.append(rows)
            for outlet in outlets:
                outlet.write(batch.to_numpy())

    def on_train_begin(self, logs=None):
        if self._csv is not None:
            self._csv.begin()
        if self._events is not None:
            self._events.begin()

    def on_epoch_end(self, epoch, logs=None):
        self.read()
        if self._events is not None:
            self._events.end_epoch()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self._csv is not None:
            self._csv.finish()
        if self._events is not None:
            self._events.finish()

    @property
    def steps(self) -> np.ndarray:
        """Numbers of the steps, counted from 1, shape (steps,)."""
        self.read()
        return self._history.columns()[0]

    @property
    def applied(self) -> np.ndarray:
        """Whether the update of each step was made, shape (steps,)."""
        self.read()
        return self._history.columns()[1]

    @property
    def norms(self) -> np.ndarray:
        """Global norm before clipping, shape (steps,)."""
        self.read()
        return self._history.columns()[2][:, 0]

    @property
    def clipped_norms(self) -> np.ndarray:
        """Global norm after clipping, shape (steps,)."""
        self.read()
        return self._history.columns()[2][:, 1]

    @property
    def variable_norms(self) -> dict[str, np.ndarray]:
        """Norms before clipping by variable path, each of shape (steps,)."""
        return self._by_variable(0)

    @property
    def clipped_variable_norms(self) -> dict[str, np.ndarray]:
        """Norms after clipping by variable path, each of shape (steps,)."""
        return self._by_variable(1)

    def _by_variable(self, side):
        self.read()
        table = self._history.columns()[3]
        return {name: table[:, side, i] for i, name in enumerate(self._history.names)}

    def to_numpy(self) -> np.ndarray:
        """All norms as one structured array, whose fields are named as the columns of the CSV file."""
        self.read()
        return self._history.to_numpy()

    def plot(
        self, path: str | os.PathLike | None = None, title: str | None = None, overwrite: bool = False
    ) -> "matplotlib.figure.Figure":
        """Plots the norms over the steps, and saves the plot if a path is given. Needs the extra `plots`.

        Args:
            path: A file to make, in the format of its suffix, or None.
            title: Heading; None for the number of steps.
            overwrite: Whether `path` may replace an existing file.

        Returns:
            The matplotlib Figure.
        """
        from keras_vrnn.diagnostics.norms_plot import plot_gradient_norms

        return plot_gradient_norms(
            self.steps,
            self.norms,
            self.clipped_norms,
            applied=self.applied,
            variable_norms=self.variable_norms,
            settings=self._settings,
            path=path,
            title=title,
            overwrite=overwrite,
        )

"""The callback that keeps gradient norms: in memory, as CSV, for TensorBoard, as a picture."""

import os

from keras_vrnn import _checks as checks
from keras_vrnn.training.callbacks.reader import NormReader
from keras_vrnn.training.callbacks.tensorboard import EventFile
from keras_vrnn.training.history import CsvFile, NormHistory


def _check_path(name, value, kind):
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be the path of a {kind}, or None, received {value!r}.")


class GradientNorms(NormReader):
    """Keeps the gradient norms of every step, before clipping and after.

    A step is an update of the weights, or one that was left out because its gradient was not finite: with gradient
    accumulation over k batches there is one every k batches. Its norms after clipping are then 0, and `applied` False.

    Args:
        csv: Path of a CSV file, or None. It is written while training goes on, as `NAME.part`, with every step, and
            takes its name when training ends; an interrupted training leaves the `.part`.
        per_variable: Whether to keep each variable's norms beside the global one.
        max_steps: Steps kept in memory, the latest; None for all. At 20 variables, 100,000 steps take 17 MB.
        overwrite: Whether `csv` may replace a file that exists.
        tensorboard: Path of a folder for TensorBoard, or None: a scalar for each norm and step, named as the columns of
            the CSV file, and at the end of an epoch a histogram of each norm before clipping, as log10, over its steps.
            Every training adds a file.

    Raises:
        TypeError: `csv` or `tensorboard` is not a path, or the model is not of this package.
        ValueError: `max_steps` is not a positive integer.
        FileExistsError, OSError: before training, if `csv` exists or cannot be written.

    Outside `fit`, attach it by `norms.set_model(model)`; `train_on_batch` then is recorded too.

    Example::

        norms = kv.callbacks.GradientNorms(csv="norms.csv")
        model.fit(x, y, callbacks=[norms])
        norms.plot("norms.png")
    """

    def __init__(self, csv=None, per_variable=True, max_steps=100_000, overwrite=False, tensorboard=None):
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
    def steps(self):
        """Numbers of the steps, from 1, shape (steps,)."""
        self.read()
        return self._history.columns()[0]

    @property
    def applied(self):
        """Whether each step's update was made, shape (steps,)."""
        self.read()
        return self._history.columns()[1]

    @property
    def norms(self):
        """Global norm before clipping, shape (steps,)."""
        self.read()
        return self._history.columns()[2][:, 0]

    @property
    def clipped_norms(self):
        """Global norm after clipping, shape (steps,)."""
        self.read()
        return self._history.columns()[2][:, 1]

    @property
    def variable_norms(self):
        """Norms before clipping by variable path, each of shape (steps,)."""
        return self._by_variable(0)

    @property
    def clipped_variable_norms(self):
        """Norms after clipping by variable path, each of shape (steps,)."""
        return self._by_variable(1)

    def _by_variable(self, side):
        self.read()
        table = self._history.columns()[3]
        return {name: table[:, side, i] for i, name in enumerate(self._history.names)}

    def to_numpy(self):
        """All figures as one structured array, its fields named as the columns of the CSV file."""
        self.read()
        return self._history.to_numpy()

    def plot(self, path=None, title=None, overwrite=False):
        """Draws the norms over the steps, and saves the picture if there is a path. Needs the extra `plots`.

        Args:
            path: A file to make, in the format that its ending names, or None.
            title: Heading; None for one that counts the steps.
            overwrite: Whether `path` may replace a file that exists.

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

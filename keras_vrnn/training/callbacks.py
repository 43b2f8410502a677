"""Callbacks that read the gradient norms of a `kv.Model` or `kv.Sequential`."""

import numbers
import os

import keras

from keras_vrnn.training.history import CsvFile, NormHistory
from keras_vrnn.training.trainer import GradientTraining


def _is_count(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0


class GradientNorms(keras.callbacks.Callback):
    """Keeps the gradient norms of every step, before clipping and after.

    A step is an update of the weights, or one that was left out because its gradient was not finite: with gradient
    accumulation over k batches there is one every k batches. Its norms after clipping are then 0, and `applied` False.

    Args:
        csv: Path of a CSV file, or None. It is written while training goes on, as `NAME.part`, with every step, and
            takes its name when training ends; an interrupted training leaves the `.part`.
        per_variable: Whether to keep each variable's norms beside the global one.
        max_steps: Steps kept in memory, the latest; None for all. At 20 variables, 100,000 steps take 17 MB.
        overwrite: Whether `csv` may replace a file that exists.

    Raises:
        TypeError: `csv` is not a path, or the model is not of this package.
        ValueError: `max_steps` is not a positive integer.
        FileExistsError, OSError: before training, if `csv` exists or cannot be written.

    Outside `fit`, attach it by `norms.set_model(model)`; `train_on_batch` then is recorded too.

    Example::

        norms = kv.callbacks.GradientNorms(csv="norms.csv")
        model.fit(x, y, callbacks=[norms])
        norms.plot("norms.png")
    """

    def __init__(self, csv=None, per_variable=True, max_steps=100_000, overwrite=False):
        super().__init__()
        if csv is not None and not isinstance(csv, (str, os.PathLike)):
            raise TypeError(f"`csv` must be the path of a file, or None, received {csv!r}.")
        if max_steps is not None and not _is_count(max_steps):
            raise ValueError(
                f"`max_steps` must be a positive integer, or None for all, received {max_steps!r}."
            )
        self._history = NormHistory(max_steps, per_variable)
        self._csv = None if csv is None else CsvFile(csv, overwrite)
        self._per_variable = per_variable
        self._recorder = None
        self._settings = None

    def set_model(self, model):
        super().set_model(model)
        if not isinstance(model, GradientTraining):
            raise TypeError(
                f"{type(self).__name__} reads norms that only kv.Model and kv.Sequential record, received "
                f"{type(model).__module__}.{type(model).__name__}. Make it kv.Model(model.inputs, model.outputs) and "
                "compile that."
            )
        if not model.compiled:
            raise ValueError(
                f"{type(self).__name__} was given a model that is not compiled. Call compile() first."
            )
        if self._recorder is not None:
            self._recorder.detach(self)
        self._recorder = model.gradient_recorder
        self._settings = model.gradient_settings
        self._recorder.attach(self)

    def receive(self, rows):
        """Called by the model's recorder with rows of figures."""
        self._history.append(rows)
        if self._csv is not None:
            batch = NormHistory(None, self._per_variable)
            batch.append(rows)
            self._csv.write(batch.to_numpy())

    def on_train_begin(self, logs=None):
        if self._csv is not None:
            self._csv.begin()

    def on_epoch_end(self, epoch, logs=None):
        self._read()

    def on_train_end(self, logs=None):
        if self._recorder is not None:
            self._recorder.detach(self)
            self._recorder = None
        if self._csv is not None:
            self._csv.finish()

    def _read(self):
        if self._recorder is not None:
            self._recorder.drain()

    @property
    def steps(self):
        """Numbers of the steps, from 1, shape (steps,)."""
        self._read()
        return self._history.columns()[0]

    @property
    def applied(self):
        """Whether each step's update was made, shape (steps,)."""
        self._read()
        return self._history.columns()[1]

    @property
    def norms(self):
        """Global norm before clipping, shape (steps,)."""
        self._read()
        return self._history.columns()[2][:, 0]

    @property
    def clipped_norms(self):
        """Global norm after clipping, shape (steps,)."""
        self._read()
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
        self._read()
        table = self._history.columns()[3]
        return {name: table[:, side, i] for i, name in enumerate(self._history.names)}

    def to_numpy(self):
        """All figures as one structured array, its fields named as the columns of the CSV file."""
        self._read()
        return self._history.to_numpy()

    def plot(self, path=None, title=None):
        """Draws the norms over the steps, and saves the picture if there is a path. Needs the extra `plots`.

        Returns:
            The matplotlib Figure.
        """
        from keras_vrnn.diagnostics.plots import plot_gradient_norms

        return plot_gradient_norms(
            self.steps,
            self.norms,
            self.clipped_norms,
            applied=self.applied,
            variable_norms=self.variable_norms,
            settings=self._settings,
            path=path,
            title=title,
        )

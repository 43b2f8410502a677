"""Files of gradient norms for TensorBoard, which need not be installed to write them (TensorFlow)."""

import os
import pathlib

import numpy as np

# Edges of the histograms: log10 of a norm, from 1e-15 to 1e15, ten columns per decade.
_EDGES = np.linspace(-15.0, 15.0, 301)


class EventFile:
    """A file with one scalar per norm and step and, for each epoch, a histogram of each norm.

    `tf.summary.scalar` needs TensorBoard installed, and one call per value. A `Summary` holds all values of a step, in
    the format that TensorBoard has read since its first version.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._writer = None
        self._counts: dict[str, np.ndarray] = {}
        self._step = 0

    def begin(self):
        """Makes the folder and the file, before training.

        Raises:
            OSError: The folder cannot be made or written to.
        """
        import tensorflow as tf

        if self._writer is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError("permission denied")
        except OSError as error:
            raise type(error)(
                f"tensorboard={str(self.folder)!r} cannot be written: {error.strerror or error}. Expected a writable "
                "folder, or a path where one can be made."
            ) from error
        self._writer = tf.summary.create_file_writer(str(self.folder), filename_suffix=".gradients")

    def write(self, table):
        """Adds the rows of a structured array that has the columns of the CSV file."""
        import tensorflow as tf

        self.begin()
        names = [name for name in table.dtype.names if name not in ("step", "applied")]
        with self._writer.as_default():
            for row in table:
                self._step = int(row["step"])
                values = [tf.compat.v1.Summary.Value(tag=name, simple_value=row[name]) for name in names]
                summary = tf.compat.v1.Summary(value=values)
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=self._step)
        for name in names:
            if not name.startswith("clipped_"):
                counts = self._counts.setdefault(name, np.zeros(len(_EDGES) - 1, int))
                counts += np.histogram(_log10(table[name]), _EDGES)[0]

    def end_epoch(self):
        """Adds the histograms of the steps since the last call."""
        import tensorflow as tf

        values = [
            tf.compat.v1.Summary.Value(tag=f"log10_{name}", histo=_histogram(counts))
            for name, counts in self._counts.items()
            if counts.any()
        ]
        if values:
            with self._writer.as_default():
                summary = tf.compat.v1.Summary(value=values)
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=self._step)
        self._counts = {}
        if self._writer is not None:
            self._writer.flush()

    def finish(self):
        """Closes the file; the next training begins another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _log10(norms):
    """log10 of the norms that are finite and above 0, clipped to the range of the columns."""
    norms = norms[np.isfinite(norms) & (norms > 0)].astype(float)
    return np.clip(np.log10(norms), _EDGES[0], _EDGES[-1])


def _histogram(counts):
    import tensorflow as tf

    filled = np.flatnonzero(counts)
    first, last = filled[0], filled[-1]
    middles = (_EDGES[:-1] + _EDGES[1:]) / 2
    # A bucket reaches from the limit of the one before to its own. The first one is empty: it gives the lower end.
    return tf.compat.v1.HistogramProto(
        min=_EDGES[first],
        max=_EDGES[last + 1],
        num=counts.sum(),
        sum=counts @ middles,
        sum_squares=counts @ middles**2,
        bucket_limit=_EDGES[first : last + 2],
        bucket=[0, *counts[first : last + 1]],
    )

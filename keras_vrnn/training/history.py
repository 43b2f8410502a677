"""The gradient norms of many steps: a bounded table in memory, and a CSV file that appears when it is complete."""

import collections
import csv
import os
import pathlib

import numpy as np

from keras_vrnn import _files


class NormHistory:
    """The norms of the last `max_steps` steps, as arrays with one entry per step."""

    def __init__(self, max_steps, per_variable):
        self.names = ()
        self._max_steps = max_steps
        self._per_variable = per_variable
        self._chunks: collections.deque[tuple[np.ndarray, ...]] = collections.deque()
        self._length = 0

    def append(self, rows):
        names = rows.names if self._per_variable else ()
        if self._chunks and names != self.names:
            raise ValueError(
                f"The trainable variables have changed, from {list(self.names)} to {list(names)}, so their norms do "
                "not fit into one table. Use a new GradientNorms callback."
            )
        self.names = names
        steps = np.arange(rows.first_step, rows.first_step + len(rows))
        variable_norms = rows.variable_norms[:, :, : len(names)]
        self._chunks.append((steps, rows.applied, rows.global_norms, variable_norms))
        self._length += len(rows)
        while self._max_steps is not None and self._length > self._max_steps:
            self._drop_first(self._length - self._max_steps)

    def _drop_first(self, surplus):
        first = self._chunks.popleft()
        dropped = min(surplus, len(first[0]))
        self._length -= dropped
        if dropped < len(first[0]):
            self._chunks.appendleft(tuple(column[dropped:] for column in first))

    def columns(self):
        """steps (n,), applied (n,), global norms (n, 2), variable norms (n, 2, variables)."""
        if not self._chunks:
            return (
                np.zeros(0, int),
                np.zeros(0, bool),
                np.zeros((0, 2), "float32"),
                np.zeros((0, 2, 0), "float32"),
            )
        if len(self._chunks) > 1:
            merged = tuple(np.concatenate(parts) for parts in zip(*self._chunks, strict=True))
            self._chunks = collections.deque([merged])
        return self._chunks[0]

    def to_numpy(self):
        """One structured array; its fields are the columns of the CSV file."""
        steps, applied, global_norms, variable_norms = self.columns()
        norms = [global_norms[:, 0], global_norms[:, 1]]
        norms += [variable_norms[:, side, i] for i in range(variable_norms.shape[2]) for side in (0, 1)]
        header = column_names(self.names)
        kinds = [np.int64, np.bool_, *[np.float32] * len(norms)]
        table = np.empty(len(steps), dtype=list(zip(header, kinds, strict=True)))
        for name, column in zip(header, (steps, applied, *norms), strict=True):
            table[name] = column
        return table


def column_names(variable_names):
    """Names for the global norms and then for each variable's, before and after clipping."""
    names = ["step", "applied", "grad_norm", "clipped_grad_norm"]
    for variable in variable_names:
        names += [f"grad_norm/{variable}", f"clipped_grad_norm/{variable}"]
    return names


class CsvFile:
    """A CSV file that is written as `NAME.part` and gets its name when it is complete.

    No handle stays open between writes, so an interrupted training leaves a readable `.part`.
    """

    def __init__(self, path, overwrite):
        self.path = pathlib.Path(path)
        self._part = self.path.with_name(self.path.name + ".part")
        self._overwrite = overwrite
        self._is_begun = False
        self._is_ours = False

    def begin(self):
        """Makes the `.part` before training, so that a day of training does not end in a PermissionError.

        Raises:
            FileExistsError: The file exists, this object did not write it, and `overwrite` is False; or it is not a
                regular file.
            OSError: The folder does not exist or is not writable.
        """
        if self._is_begun:
            return
        if not self._is_ours:
            _files.check_writable(self.path, self._overwrite, "csv")
        if self._is_ours and self.path.exists():
            os.replace(self.path, self._part)
        else:
            self._part.write_bytes(b"")
        self._is_begun = True

    def write(self, table):
        """Appends the rows of a structured array."""
        self.begin()
        with open(self._part, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(table.dtype.names)
            for step, applied, *norms in table.tolist():
                # Nine digits restore every float32 exactly.
                writer.writerow([step, int(applied), *[f"{norm:.9g}" for norm in norms]])

    def finish(self):
        """Gives the file its name."""
        if self._is_begun:
            os.replace(self._part, self.path)
            self._is_begun, self._is_ours = False, True

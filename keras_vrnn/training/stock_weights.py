"""Weight files that models of `keras.layers.SimpleRNN` and of `VanillaRNN` share.

Keras puts the class of a layer into the paths of a `.weights.h5` file, such as `layers/simple_rnn/cell/vars/0`. The
weights of `VanillaRNN` are the same under another path. A file is therefore written with both paths, the second one a
hard link, and a file from Keras is read through a copy that has both.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

from keras_vrnn.layers.interception import layers_of

# Our class and Keras' class of it, each with its name in a path.
_PAIRS = (
    ("VanillaRNN", "vanilla_rnn", "SimpleRNN", "simple_rnn"),
    ("VanillaRNNCell", "vanilla_rnn_cell", "SimpleRNNCell", "simple_rnn_cell"),
)
_IN_ARCHIVE = "model.weights.h5"  # the file of weights in a `.keras` archive


class StockWeightFiles:
    """A mixin for models: their weight files load into the same model of Keras' own layers, and theirs load here."""

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save_weights`; the same model of `keras.layers.SimpleRNN` can load the file too."""
        super().save_weights(filepath, *args, **kwargs)  # type: ignore[misc]
        if str(filepath).endswith(".weights.h5") and os.path.isfile(filepath):
            _link(filepath, dict(_path_names(self)))

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.load_weights`; files of models of `keras.layers.SimpleRNN` load too."""
        with _readable(self, filepath) as path:
            super().load_weights(path, *args, **kwargs)  # type: ignore[misc]


def _path_names(model: Any) -> list[tuple[str, str]]:
    """(our name, Keras' name) of each pair of classes of which the model has only ours.

    Keras numbers the layers of each class. With both classes in one model the numbers of the two files differ.
    """
    layers = layers_of(model)
    cells = [layer.cell for layer in layers if hasattr(layer, "cell")]
    cells += [each for cell in cells for each in getattr(cell, "cells", ())]
    present = {type(each).__name__ for each in (*layers, *cells)}
    return [(p, stock_p) for c, p, stock_c, stock_p in _PAIRS if c in present and stock_c not in present]


@contextlib.contextmanager
def _readable(model: Any, filepath: Any) -> Iterator[Any]:
    """`filepath`, or a temporary copy with our names if it has only names from Keras."""
    names = {stock: ours for ours, stock in _path_names(model)}
    if not names or not os.path.isfile(filepath) or not str(filepath).endswith((".weights.h5", ".keras")):
        yield filepath
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, _IN_ARCHIVE)
        if zipfile.is_zipfile(filepath):
            with zipfile.ZipFile(filepath) as archive, open(copy, "wb") as file:
                if _IN_ARCHIVE not in archive.namelist():
                    yield filepath
                    return
                shutil.copyfileobj(archive.open(_IN_ARCHIVE), file)
        else:
            shutil.copyfile(filepath, copy)
        yield copy if _link(copy, names) else filepath


def _link(path: Any, names: dict[str, str]) -> bool:
    """Gives groups of an HDF5 file a second name, as hard links; whether any got one.

    Args:
        path: The file.
        names: Name → second name, both without the number that follows them from the second layer on.
    """
    linked = False
    with h5py.File(path, "r+") as file:
        groups = [file]
        file.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
        for group in groups:
            children = list(group)
            for name, second in names.items():
                taken = any(re.fullmatch(rf"{second}(_\d+)?", child) for child in children)
                for child in [] if taken else children:
                    if number := re.fullmatch(rf"{name}(_\d+)?", child):
                        group[second + (number[1] or "")] = group[child]
                        linked = True
    return linked

"""Loads models and data from files, with one line of error for a file that can't be loaded."""

import zipfile
from pathlib import Path

import numpy as np

DATA = "a .npy array, or an .npz file with the array x or with one array per input, named like the input"


def load_model(path):
    """Returns the Keras model of a file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"`model` must be a file that exists. Received: model={path!r}")
    import keras

    try:
        return keras.models.load_model(path)
    except Exception as error:  # Keras raises many kinds of errors for a damaged file
        raise ValueError(
            f"`model` must be a Keras model. Received: model={path!r}, which can't be loaded: {error}"
        ) from error


def load_data(path, argument="data"):
    """Returns (inputs, y or None) of a .npy or .npz file; `argument` is the option's name, for errors."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"`{argument}` must be a file that exists. Received: {argument}={path!r}")
    try:
        with open(path, "rb") as file:  # np.load would leave a damaged archive open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded, None
            arrays = dict(loaded)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it is an archive of other files")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`{argument}` must be a NumPy file of plain arrays. Received: {argument}={path!r}: {error}"
        ) from error
    y = arrays.pop("y", None)
    if not arrays:
        raise ValueError(f"`{argument}` must be {DATA}. Received: {argument}={path!r} without an input")
    return (arrays["x"] if list(arrays) == ["x"] else arrays), y

"""Models and data from files, with one line of error for what can't be loaded."""

import zipfile
from pathlib import Path

import numpy as np

DATA = "a .npy array, or an .npz with the array x or one array an input, named as the input"


def load_model(path):
    """Returns the Keras model of a file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"model: there is no file {path!r}.")
    import keras

    try:
        return keras.models.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged file, none of them telling
        raise ValueError(f"model: {path!r} can't be loaded as a Keras model: {error}") from error


def load_data(path):
    """Returns (inputs, labels or None) of a .npy or .npz file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"data: there is no file {path!r}.")
    try:
        with open(path, "rb") as file:  # np.load would leave a damaged archive open
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded, None
            arrays = dict(loaded)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it is an archive of other files")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"data: {path!r} is no NumPy file of plain arrays: {error}") from error
    y = arrays.pop("y", None)
    if not arrays:
        raise ValueError(f"data: {path!r} holds no input; expected {DATA}.")
    return (arrays["x"] if list(arrays) == ["x"] else arrays), y

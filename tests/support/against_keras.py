"""Exports a model and measures how far the file is from Keras, output by output."""

import keras
import numpy as np

import keras_vrnn as kv
from keras_vrnn.models import structure


def keras_outputs(model, x):
    """The model's outputs as a flat list of arrays, for inputs in any form that the export takes."""
    made = structure.call(model, structure.flat(model, x))
    return [np.asarray(output, np.float64) for output in keras.tree.flatten(made)]


def file_outputs(model, x, path):
    """The file's outputs as a flat list; a streaming file runs every step."""
    runner = kv.tflite.Runner(path)
    made = runner(dict(zip(structure.input_names(model), structure.flat(model, x), strict=True)))
    return list(made.values()) if isinstance(made, dict) else [made]


def exported_errors(model, x, path, quantization, **options):
    """Exports a model, runs the file, and returns one error per output, relative to the output's range.

    For float32 it is the largest error, otherwise the mean error.
    """
    kv.tflite.export(model, path, quantization=quantization, calibration_data=x, overwrite=True, **options)
    expected, made = keras_outputs(model, x), file_outputs(model, x, path)
    # What Keras returns once per sequence is compared at the last step of a streaming file.
    made = [m if m.ndim == e.ndim else m[:, -1] for m, e in zip(made, expected, strict=True)]
    measure = np.max if quantization == "float32" else np.mean
    return [float(measure(np.abs(m - e)) / (np.ptp(e) or 1.0)) for m, e in zip(made, expected, strict=True)]

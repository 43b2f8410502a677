"""Quantization-aware training: a model that computes the integers of its exported file (TensorFlow)."""

import numbers
from typing import Any

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.compression.copying import check_built
from keras_vrnn.compression.quantized import conversion, signals
from keras_vrnn.models import structure
from keras_vrnn.models.input_arrays import as_inputs
from keras_vrnn.training import Model
from keras_vrnn.training.trainer import GradientTraining

_BATCH = 64  # samples at a time in calibration; it limits memory and changes nothing


def quantize_aware(
    model: keras.Model,
    quantization: str = "int8",
    *,
    weight_bits: int = 8,
    calibration_data: Any = None,
) -> keras.Model:
    scheme = _scheme(quantization, weight_bits)
    signals.check_backend()
    check_built(model)
    arrays = as_inputs(model, calibration_data, "calibration_data")
    made = conversion.converted(model, scheme)
    kind = Model if isinstance(model, GradientTraining) else keras.Model
    made = kind(made.input, made.output, name=model.name)
    with signals.calibrating():
        for start in range(0, len(arrays[0]), _BATCH):
            structure.call(made, [array[start : start + _BATCH] for array in arrays])
    return made


def _scheme(quantization, weight_bits):
    checks.one_of("quantization", quantization, ("int8", "int16x8"))
    if isinstance(weight_bits, bool) or not isinstance(weight_bits, numbers.Integral):
        raise checks.refused("weight_bits", "be 8 or 4", weight_bits)
    checks.one_of("weight_bits", weight_bits, (8, 4))
    if weight_bits == 4 and quantization == "int16x8":
        raise checks.refused("weight_bits", "be 8 with quantization='int16x8'", weight_bits)
    return "int8x4" if weight_bits == 4 else quantization

"""Stores the embedding tables of int16 files in int8, as other weights: TFLite Micro can't gather int16."""

import numpy as np

from keras_vrnn.quantization.formats import INT8_MAX, Quantization
from keras_vrnn.tflite.exporting.writing import operators as op


def narrow(main):
    """Makes every GATHER from a constant int16 table read an int8 table, and converts the result to int16."""
    for operator in list(main.subgraph.operators):
        if main.file.operator_name(operator) != "GATHER":
            continue
        table, result = int(operator.inputs[0]), int(operator.outputs[0])
        values = main.data(table)
        if values is None or values.dtype != np.int16:
            continue
        real = values * main.quantization(table).scale
        scale = np.abs(real).max() / INT8_MAX or 1.0
        quantization = Quantization(float(scale), 0)
        narrow_table = main.constant("table", np.round(real / scale).astype(np.int8), quantization)
        row = main.tensor("row", main.shape(result), np.int8, quantization)
        operator.inputs, operator.outputs = [narrow_table, *operator.inputs[1:]], [row]
        op.quantize_into(main, row, result)

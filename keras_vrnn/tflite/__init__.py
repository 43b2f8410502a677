"""Export to TFLite, and running what was exported.

Names are handed on lazily: `Runner`, `Seq2SeqRunner`, `inspect`, `benchmark` and `write_c_array` need neither
TensorFlow nor Keras.
"""

from keras_vrnn._lazy import names_of

_EXPORTS = {
    "Benchmark": "keras_vrnn.tflite.benchmarking",
    "ExportResult": "keras_vrnn.tflite.conversion",
    "Inspection": "keras_vrnn.tflite.inspection",
    "Runner": "keras_vrnn.tflite.runtime",
    "Seq2SeqExportResult": "keras_vrnn.tflite.seq2seq",
    "Seq2SeqRunner": "keras_vrnn.tflite.seq2seq_runtime",
    "Verification": "keras_vrnn.tflite.verification",
    "benchmark": "keras_vrnn.tflite.benchmarking",
    "export": "keras_vrnn.tflite.exporting",
    "inspect": "keras_vrnn.tflite.inspection",
    "verify": "keras_vrnn.tflite.verification",
    "write_c_array": "keras_vrnn.tflite.micro.sources",
}

__all__, __getattr__, __dir__ = names_of(__name__, _EXPORTS)

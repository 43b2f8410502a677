"""Export to TFLite, and running what was exported.

Names are handed on lazily: `Runner`, `Seq2SeqRunner`, `inspect`, `benchmark` and `write_c_array` need neither
TensorFlow nor Keras.
"""

from keras_vrnn._lazy import names_of

_EXPORTS = {
    "Benchmark": "keras_vrnn.tflite.inspecting.benchmarking",
    "ExportResult": "keras_vrnn.tflite.exporting.conversion",
    "Inspection": "keras_vrnn.tflite.inspecting.inspection",
    "Runner": "keras_vrnn.tflite.running.runner",
    "Seq2SeqExportResult": "keras_vrnn.tflite.exporting.encoder_decoder",
    "Seq2SeqRunner": "keras_vrnn.tflite.running.seq2seq_runner",
    "Verification": "keras_vrnn.tflite.verifying.verification",
    "benchmark": "keras_vrnn.tflite.inspecting.benchmarking",
    "export": "keras_vrnn.tflite.exporting.export_model",
    "inspect": "keras_vrnn.tflite.inspecting.inspection",
    "verify": "keras_vrnn.tflite.verifying.verification",
    "simulate": "keras_vrnn.tflite.running.simulator",
    "write_c_array": "keras_vrnn.tflite.micro.sources",
}

__all__, __getattr__, __dir__ = names_of(__name__, _EXPORTS)

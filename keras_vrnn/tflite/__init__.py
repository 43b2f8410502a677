"""Exports models to TFLite, and runs, verifies and inspects the files.

Names are loaded on first use: `Runner`, `Seq2SeqRunner`, `inspect`, `benchmark`, `write_c`, `write_c_array`,
`Card`, `describe`, `seal` and `simulate` need neither TensorFlow nor Keras.
"""

from typing import TYPE_CHECKING

from keras_vrnn._lazy import names_of

if TYPE_CHECKING:
    from keras_vrnn.firmware.exporting import write_c as write_c
    from keras_vrnn.tflite.card import Card as Card
    from keras_vrnn.tflite.describing import describe as describe
    from keras_vrnn.tflite.digest import seal as seal
    from keras_vrnn.tflite.exporting.check import AccuracyWarning as AccuracyWarning
    from keras_vrnn.tflite.exporting.conversion import ExportResult as ExportResult
    from keras_vrnn.tflite.exporting.encoder_decoder import Seq2SeqExportResult as Seq2SeqExportResult
    from keras_vrnn.tflite.exporting.export_model import export as export
    from keras_vrnn.tflite.inspecting.benchmarking import Benchmark as Benchmark
    from keras_vrnn.tflite.inspecting.benchmarking import benchmark as benchmark
    from keras_vrnn.tflite.inspecting.inspection import Inspection as Inspection
    from keras_vrnn.tflite.inspecting.inspection import inspect as inspect
    from keras_vrnn.tflite.micro.sources import write_c_array as write_c_array
    from keras_vrnn.tflite.running.runner import Runner as Runner
    from keras_vrnn.tflite.running.seq2seq_runner import Seq2SeqRunner as Seq2SeqRunner
    from keras_vrnn.tflite.running.simulator import simulate as simulate
    from keras_vrnn.tflite.verifying.verification import Verification as Verification
    from keras_vrnn.tflite.verifying.verification import verify as verify
else:  # type checkers must not see a `__getattr__`: it would make every name valid
    __all__, __getattr__, __dir__ = names_of(
        __name__,
        {
            "AccuracyWarning": "keras_vrnn.tflite.exporting.check",
            "Benchmark": "keras_vrnn.tflite.inspecting.benchmarking",
            "Card": "keras_vrnn.tflite.card",
            "ExportResult": "keras_vrnn.tflite.exporting.conversion",
            "Inspection": "keras_vrnn.tflite.inspecting.inspection",
            "Runner": "keras_vrnn.tflite.running.runner",
            "Seq2SeqExportResult": "keras_vrnn.tflite.exporting.encoder_decoder",
            "Seq2SeqRunner": "keras_vrnn.tflite.running.seq2seq_runner",
            "Verification": "keras_vrnn.tflite.verifying.verification",
            "benchmark": "keras_vrnn.tflite.inspecting.benchmarking",
            "describe": "keras_vrnn.tflite.describing",
            "export": "keras_vrnn.tflite.exporting.export_model",
            "inspect": "keras_vrnn.tflite.inspecting.inspection",
            "seal": "keras_vrnn.tflite.digest",
            "simulate": "keras_vrnn.tflite.running.simulator",
            "verify": "keras_vrnn.tflite.verifying.verification",
            "write_c": "keras_vrnn.firmware.exporting",
            "write_c_array": "keras_vrnn.tflite.micro.sources",
        },
    )

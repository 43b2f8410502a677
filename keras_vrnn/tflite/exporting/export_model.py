"""The entry point of the export: a model becomes a file, an encoder-decoder becomes a folder.

Needs the TensorFlow backend.
"""

import os
import threading
from typing import Any, overload

import keras

from keras_vrnn import _progress
from keras_vrnn.models import EncoderDecoder
from keras_vrnn.symbols import Symbols
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.exporting.conversion import ExportResult, to_file
from keras_vrnn.tflite.exporting.encoder_decoder import Seq2SeqExportResult, to_folder
from keras_vrnn.tflite.exporting.options import (
    CalibrationMethod,
    Form,
    Io,
    Options,
    QuantizationName,
    State,
    Timesteps,
)
from keras_vrnn.tflite.exporting.trained import scheme_of

# One export at a time: the converter prints on the standard error of the whole process.
_LOCK = threading.RLock()


@overload
def export(
    model: EncoderDecoder,
    path: str | os.PathLike[str],
    *,
    quantization: QuantizationName | None = None,
    calibration_data: Any = None,
    calibration: CalibrationMethod = "minmax",
    max_error: float = 0.1,
    source_length: int | None = None,
    max_length: int | None = None,
    source_symbols: Symbols | None = None,
    target_symbols: Symbols | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> Seq2SeqExportResult: ...
@overload
def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    form: Form = "sequence",
    quantization: QuantizationName | None = None,
    io: Io | None = None,
    state: State = "explicit",
    batch_size: int = 1,
    calibration_data: Any = None,
    calibration: CalibrationMethod = "minmax",
    max_error: float = 0.1,
    timesteps: Timesteps = "data",
    max_timesteps: int | None = None,
    chunk: int = 1,
    card: Card | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> ExportResult: ...
def export(
    model: Any,
    path: str | os.PathLike[str],
    *,
    form: Form = "sequence",
    quantization: QuantizationName | None = None,
    io: Io | None = None,
    state: State = "explicit",
    batch_size: int = 1,
    calibration_data: Any = None,
    calibration: CalibrationMethod = "minmax",
    max_error: float = 0.1,
    timesteps: Timesteps = "data",
    max_timesteps: int | None = None,
    chunk: int = 1,
    card: Card | None = None,
    source_length: int | None = None,
    max_length: int | None = None,
    source_symbols: Symbols | None = None,
    target_symbols: Symbols | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> ExportResult | Seq2SeqExportResult:
    """Writes a Keras model with recurrent layers as a TFLite file, or an encoder-decoder as a folder of two files.

    The layers around the recurrences go through the stock converter. Each recurrence becomes one WHILE loop, whose size
    does not depend on the number of time steps, or a sequence of single steps.

    Args:
        model: A built functional or Sequential Keras model on the TensorFlow backend that contains `VanillaRNN` or
            `keras.layers.SimpleRNN`, `FastRNN`, `keras.layers.GRU` or `keras.layers.LSTM` layers, among any others; or
            a `kv.EncoderDecoder`. An undefined time dimension takes the length of `calibration_data`. A stateful layer
            starts from zero; mixed precision and float64 become float32.
        path: The file to write. For an encoder-decoder, the folder that `Seq2SeqRunner` reads: `encoder.tflite`,
            `decoder_step.tflite` with the states as inputs and outputs, a manifest and the symbols.
        form: "sequence": one invoke takes a whole sequence, and the recurrence is a loop. "unrolled": the same without
            a loop, for a runtime that has none; the file grows with the number of time steps. "streaming": one invoke
            takes `chunk` time steps and continues from the state that the last one left.
        quantization: By default the one that a model of `kv.compression.quantize_aware` was made for, otherwise "int8".
            "float32". "float16": float16 weights, dequantized when the file is loaded. "dynamic": int8
            weights, float32 signals. "int8": full integer, int8 signals, one weight scale per output unit, tanh state
            at scale 1/128. "int8x4": as "int8", but with 4-bit weights in recurrences and Dense layers, one scale per
            kernel; embeddings and convolutions keep int8 weights. "int16x8": full integer, int16 signals with int8
            weights, tanh state at scale 1/32768.
        io: The type of the inputs and outputs of an integer file: its own ("int8" or "int16", the default), or
            "float32", which adds one QUANTIZE or DEQUANTIZE to each. Token ids are always int32, states always have
            the file's own type.
        state: For a streaming file. "explicit": the state of each recurrence is an input `…state_in` and an output
            `…state_out` of the same format, zero at the start. "internal": it stays in a variable of the interpreter,
            which the signature `reset` (in TFLite Micro `MicroInterpreter::Reset`) sets to zero.
        batch_size: How many sequences, or streams, one invoke takes.
        calibration_data: Required for "int8", "int8x4" and "int16x8", except for a model of
            `kv.compression.quantize_aware`, which holds its scales: inputs that the model will meet, such as
            `x_train[:200]`, with the batch axis first. For several inputs, a list, a dictionary by input name, or the
            structure of the model's inputs. The scales are measured on this data. With form="streaming", stepping is
            compared with whole sequences on it, at any quantization. For an encoder-decoder, 200 pairs (source,
            target_in) as for `fit`, or 200 sources, for which the model's own greedy decoding is the target.
        calibration: "minmax": scales span all values in the data. "percentile": for float inputs and the signals of
            the recurrences, all but the lowest and the highest 0.01 %, for data with outliers.
        max_error: The largest error of an integer, dynamic or float16 file that is written. The error is the mean
            difference from Keras of an output's worst unit, on up to 64 samples of the data, relative to the output's
            range including zero. A file with a larger error is refused, unless the model itself amplifies rounding.
            An error that is smaller, but larger than the format should cost, gives an `AccuracyWarning` with the
            likely cause. A float32 file is refused if it differs by more than rounding, whatever `max_error` is.
        timesteps: For a model whose time dimension is undefined, such as `keras.Input((None, 6))`: how many time steps
            the file takes. "data": as many as `calibration_data` has. None: any number from 1 to `max_timesteps`. Such
            a file has one more input, `length`, the number of steps as int32 of shape (1,); the other inputs hold
            `max_timesteps` steps, of which it reads the first `length`; outputs with a time axis are defined up to
            there. `Runner` fills and cuts them. Its integers are those of a file made for that number of steps. The
            scales are measured on all steps of `calibration_data`, whatever `timesteps` is.
        max_timesteps: With timesteps=None, the largest number of steps; by default that of `calibration_data`.
        chunk: For a streaming file, how many time steps one invoke takes.
        card: What the model is for: a `Card` with class names, feature names, normalization, version, a note on the
            training data. `Runner.card` gives it out, `inspect` shows it, `write_c` puts it into the header; `describe`
            changes it, such as by the figures of `verify`.
        source_length: For an encoder-decoder: steps of the encoder; by default the model's `source_length`, or the
            length of the data.
        max_length: For an encoder-decoder: the largest number of tokens that the runner decodes; by default the
            model's `target_length`, or twice the source steps plus 10.
        source_symbols, target_symbols: For an encoder-decoder: `kv.Symbols` to store in the folder, for a runner that
            takes and returns symbols.
        progress: Whether a terminal shows what is being done.
        overwrite: Whether to replace files that exist.

    Returns:
        An `ExportResult`; for an encoder-decoder, a `Seq2SeqExportResult`.

    Raises:
        ValueError: An argument has an unsupported value, or the model contains an unsupported layer; the message names
            it and suggests what to do.
        FileExistsError, FileNotFoundError, PermissionError: `path` exists or can't be written.

    A file is written only after the LiteRT interpreter has run it and its outputs have been compared with those of
    Keras. Exports from several threads take turns.
    An input or output has the name of its `keras.Input` or of the layer that makes it; in a dictionary, its key.
    """
    quantization = _chosen(model, quantization)
    options = Options(
        form,
        quantization,
        io,
        state,
        batch_size,
        calibration,
        max_error,
        timesteps,
        max_timesteps,
        chunk,
    )
    for_pairs = {
        "source_length": source_length,
        "max_length": max_length,
        "source_symbols": source_symbols,
        "target_symbols": target_symbols,
    }
    with _LOCK, _progress.shown("export", progress):
        if isinstance(model, EncoderDecoder):
            if card is not None:
                raise ValueError(
                    "`card` must be left out for a kv.EncoderDecoder, which becomes several files. Put one into each "
                    "with kv.tflite.describe."
                )
            return to_folder(model, path, options, calibration_data, overwrite, **for_pairs)
        if given := [name for name, value in for_pairs.items() if value is not None]:
            raise ValueError(
                f"`{given[0]}` must be left out, except for a kv.EncoderDecoder. Received: a model of type "
                f"{type(model).__name__}."
            )
        return to_file(model, path, options, calibration_data, overwrite, card=card)


def _chosen(model, quantization):
    """Returns the quantization of an export: a quantization-aware model has only its own."""
    scheme = scheme_of(model) if isinstance(model, keras.Model) else None
    if quantization is None:
        return scheme or "int8"
    if scheme not in (None, quantization):
        raise ValueError(
            f"`quantization` must be {scheme!r} for this model, which kv.compression.quantize_aware made for it. "
            f"Received: quantization={quantization!r}. Leave it out, or export the float model."
        )
    return quantization

"""The way in to the export: a model becomes a file, an encoder-decoder a folder.

Needs the TensorFlow backend.
"""

from keras_vrnn.models import EncoderDecoder
from keras_vrnn.tflite.exporting.conversion import convert
from keras_vrnn.tflite.exporting.encoder_decoder import convert_encoder_decoder
from keras_vrnn.tflite.exporting.options import Options


def export(
    model,
    path,
    *,
    form="sequence",
    quantization="int8",
    io=None,
    state="explicit",
    batch_size=1,
    calibration_data=None,
    calibration="minmax",
    max_error=0.1,
    source_length=None,
    max_length=None,
    source_symbols=None,
    target_symbols=None,
    overwrite=False,
):
    """Writes a Keras model with vanilla RNN layers as a TFLite file; an encoder-decoder as a folder of two.

    The layers around the recurrences go through the stock converter. Each recurrence becomes one WHILE loop,
    whose size does not depend on the number of time steps, or the steps themselves.

    Args:
        model: a built functional or Sequential Keras model on the TensorFlow backend, with layers `VanillaRNN` or
            `keras.layers.SimpleRNN` among any others. An undefined time dimension takes the length of
            `calibration_data`. A stateful layer starts from zero; mixed precision and float64 become float32.
            Or a `kv.EncoderDecoder`.
        path: the file to write. Of an encoder-decoder the folder, which `Seq2SeqRunner` reads: `encoder.tflite`,
            `decoder_step.tflite` with the states as inputs and outputs, a manifest and the symbols.
        form: "sequence": one invoke takes a whole sequence, the recurrence is a loop. "unrolled": the same without
            a loop, for a runtime that has none; the file grows with the number of time steps. "streaming": one invoke
            takes one time step.
        quantization: "float32". "float16": float16 weights, dequantized when the file is loaded. "dynamic": int8
            weights, float32 signals. "int8": full integer, int8 signals, weights per output unit, tanh state at scale
            1/128. "int16x8": full integer, int16 signals with int8 weights, tanh state at scale 1/32768.
        io: type of the inputs and outputs of an integer file: its own ("int8" or "int16", the default), or "float32",
            with one QUANTIZE or DEQUANTIZE at each. Token ids are int32, states of the file's own type in any case.
        state: of a streaming file. "explicit": the state of each recurrence is an input `…state_in` and an output
            `…state_out` of the same format, zero at the start. "internal": it stays in a variable of the interpreter,
            which the signature `reset` (in TFLite Micro `MicroInterpreter::Reset`) sets to zero.
        batch_size: how many sequences, or streams, one invoke takes.
        calibration_data: needed for "int8" and "int16x8": inputs the model will meet, e.g. `x_train[:200]`, with the
            batch axis first; a list or a dictionary by input name for several inputs. The scales are read off these.
            For "streaming" at any quantization it is the data on which stepping is compared with whole sequences.
            Of an encoder-decoder 200 pairs (source, target_in) as for `fit`, or 200 sources, for which the model's
            own greedy decoding is the target.
        calibration: "minmax": scales span all that the data holds. "percentile": of float inputs and of the signals
            of the recurrences all but the lowest and the highest 0.01 %, for data with outliers.
        max_error: the largest error of an integer, dynamic or float16 file that is written. The error is the mean
            difference from Keras of an output's worst unit, on up to 64 samples of the data, relative to the output's
            range including zero. A file with a larger error is refused, unless the model itself amplifies rounding.
            An error that is smaller, but larger than the format should cost, gives an `AccuracyWarning` with the likely
            cause. A float32 file is refused if it differs by more than rounding, whatever `max_error` is.
        source_length: of an encoder-decoder: steps of the encoder; by default the model's `source_length`, or those
            of the data.
        max_length: of an encoder-decoder: most tokens that the runner decodes; by default the model's
            `target_length`, or twice the source steps and 10.
        source_symbols, target_symbols: of an encoder-decoder: `kv.Symbols` to store beside, for a runner that takes
            and gives symbols.
        overwrite: replace what exists.

    Returns:
        An `ExportResult`; of an encoder-decoder a `Seq2SeqExportResult`.

    Raises:
        ValueError: an argument has a value that is not supported, or the model holds a layer that is not; the
            message names it and says what to do.
        FileExistsError, FileNotFoundError, PermissionError: `path` can't be written, or exists.

    A file is written only after the LiteRT interpreter has run it and its outputs have been compared with Keras'.
    """
    options = Options(form, quantization, io, state, batch_size, calibration, max_error)
    of_pairs = {
        "source_length": source_length,
        "max_length": max_length,
        "source_symbols": source_symbols,
        "target_symbols": target_symbols,
    }
    if isinstance(model, EncoderDecoder):
        return convert_encoder_decoder(model, path, options, calibration_data, overwrite, **of_pairs)
    if given := [name for name, value in of_pairs.items() if value is not None]:
        raise ValueError(
            f"{given[0]}: is for a kv.EncoderDecoder, received a model of type {type(model).__name__}; leave it out."
        )
    return convert(model, path, options, calibration_data, overwrite)

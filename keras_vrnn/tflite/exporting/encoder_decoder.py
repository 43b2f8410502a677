"""Exports an `EncoderDecoder` as two TFLite files, which `Seq2SeqRunner` joins on the device.

    encoder.tflite        source ─► state_0 …, with attention also memory and keys
    decoder_step.tflite   token, state_0 …, memory, keys, hidden ─► logits, next_state_0 …

The decoder is one step; its states are inputs and outputs in the formats in which its recurrences keep them, so that
no step rounds them again. Memory and keys are calibrated to the ranges of the encoder's outputs, so that both files use
one format and nothing is rounded twice.

Needs the TensorFlow backend.
"""

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vrnn import _files
from keras_vrnn._shown import Shown
from keras_vrnn.models import token_checks
from keras_vrnn.quantization.formats import Quantization, span
from keras_vrnn.tflite.exporting.conversion import ExportResult, to_file
from keras_vrnn.tflite.running.engines import LiteRT
from keras_vrnn.tflite.running.seq2seq_runner import (
    DECODER,
    ENCODER,
    FORMAT,
    HIDDEN,
    MANIFEST,
    SOURCE_SYMBOLS,
    TARGET_SYMBOLS,
)

_CALIBRATED = 200  # sources; each gives several steps of the decoder


@dataclasses.dataclass(frozen=True, repr=False)
class Seq2SeqExportResult(Shown):
    """The result of the export of an encoder-decoder.

    Attributes:
        folder: The folder.
        encoder, decoder_step: The `ExportResult` of each file.
        size: The size of both files in bytes.
    """

    folder: Path
    encoder: ExportResult
    decoder_step: ExportResult

    @property
    def size(self) -> int:
        return self.encoder.size + self.decoder_step.size

    def __str__(self) -> str:
        return f"{self.encoder}\n{self.decoder_step}"

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a dictionary for JSON."""
        files = {"encoder": self.encoder.to_dict(), "decoder_step": self.decoder_step.to_dict()}
        return {"folder": str(self.folder), "size": self.size, **files}

    def to_json(self) -> str:
        """Returns everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2, default=float)


def to_folder(
    model,
    folder,
    options,
    calibration_data,
    overwrite,
    *,
    source_length,
    max_length,
    source_symbols,
    target_symbols,
) -> Seq2SeqExportResult:
    """Exports an `EncoderDecoder`; the arguments are those of `kv.tflite.export`."""
    config = model.get_config()
    for name, value, only in (
        ("form", options.form, "sequence"),
        ("io", options.io, None),
        ("state", options.state, "explicit"),
        ("batch_size", options.batch_size, 1),
        ("timesteps", options.timesteps, "data"),
        ("chunk", options.chunk, 1),
    ):
        if value != only:
            raise ValueError(
                f"`{name}` must be left out for an encoder-decoder, which becomes an encoder of whole sources and one "
                f"step of the decoder, for one source at a time. Received: {name}={value!r}."
            )
    for name, symbols, size in (
        ("source_symbols", source_symbols, config["source_vocab_size"]),
        ("target_symbols", target_symbols, config["target_vocab_size"]),
    ):
        if symbols is not None and len(symbols) != size:
            raise ValueError(
                f"`{name}` must have the model's {size} ids. Received: symbols of {len(symbols)} ids."
            )
    length = source_length or config["source_length"]
    source, target_in = _calibration_pairs(model, options, calibration_data, length)
    length = length or source.shape[1]
    if not source.shape[1] <= length:
        raise ValueError(
            f"`source_length` must be at least the {source.shape[1]} source steps of calibration_data. "
            f"Received: source_length={source_length!r}."
        )
    source = np.pad(source, ((0, 0), (0, length - source.shape[1])))
    folder = _writable(Path(folder), overwrite)

    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        made = Path(unfinished)
        encoder = to_file(_encoder(model, length), made / ENCODER, options, source, overwrite=False)
        samples = _steps(model, source, target_in)
        engine = LiteRT(made / ENCODER)
        states = {f"state_{k}": f"next_state_{k}" for k in range(len(model.state_sizes))}
        for name, detail in engine.outputs.items():
            if name not in states:
                samples[name] = _spanning(samples[name], detail)
        unrolled = dataclasses.replace(options, form="unrolled")
        step = to_file(
            _decoder_step(model, length), made / DECODER, unrolled, samples, overwrite=False, states=states
        )
        for name, symbols in ((SOURCE_SYMBOLS, source_symbols), (TARGET_SYMBOLS, target_symbols)):
            if symbols is not None:
                symbols.save(made / name)
        manifest = {
            "format": FORMAT,
            "quantization": options.quantization,
            "start": config["start"],
            "end": config["end"],
            "source_vocab_size": config["source_vocab_size"],
            "target_vocab_size": config["target_vocab_size"],
            "source_length": length,
            "max_length": max_length or config["target_length"] or 2 * length + 10,
            "passed_on": {name: detail["quantization"] for name, detail in engine.outputs.items()},
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        del engine
        for name in (ENCODER, DECODER, SOURCE_SYMBOLS, TARGET_SYMBOLS, MANIFEST):  # the manifest last
            if (made / name).exists():
                os.replace(made / name, folder / name)
            else:  # the symbols of an earlier export may differ
                (folder / name).unlink(missing_ok=True)
    return Seq2SeqExportResult(
        folder,
        dataclasses.replace(encoder, path=folder / ENCODER),
        dataclasses.replace(step, path=folder / DECODER),
    )


def _calibration_pairs(model, options, data, length):
    """Returns source and target_in: as given, decoded from the sources given, or random where no scale needs them."""
    config = model.get_config()
    sizes = config["source_vocab_size"], config["target_vocab_size"]
    if data is None:
        if options.integer:
            raise ValueError(
                f"`calibration_data` must be given with quantization={options.quantization!r}, whose scales are "
                "measured on it. Received: calibration_data=None. Pass pairs or sources that the model will meet, "
                "such as (source[:200], target_in[:200])."
            )
        if length is None:
            raise ValueError(
                "`source_length` must be given where calibration_data is not. Received: source_length=None."
            )
        data = np.random.default_rng(0).integers(1, sizes[0], (4, length))
    if isinstance(data, dict) and set(data) == {"source", "target_in"}:
        data = data["source"], data["target_in"]
    if not isinstance(data, (tuple, list)):
        source = token_checks.tokens("calibration_data", data, sizes[0])[:_CALIBRATED]
        said = model.decode(source).best
        return source, np.pad(
            np.where(said == model.end, 0, said), ((0, 0), (1, 0)), constant_values=model.start
        )
    if len(data) != 2:
        raise ValueError(
            "`calibration_data` must be the pair (source, target_in), as for fit, or source alone. "
            f"Received: {len(data)} arrays."
        )
    source, target_in = (
        token_checks.tokens(f"calibration_data[{k}]", *each)
        for k, each in enumerate(zip(data, sizes, strict=True))
    )
    if len(source) != len(target_in):
        raise ValueError(
            "`calibration_data` must have as many sources as targets. "
            f"Received: {len(source)} sources, {len(target_in)} targets."
        )
    return source[:_CALIBRATED], target_in[:_CALIBRATED]


def _writable(folder, overwrite):
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"`path` must be a folder for an encoder-decoder. Received: the file {str(folder)!r}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in (ENCODER, DECODER, MANIFEST, SOURCE_SYMBOLS, TARGET_SYMBOLS):
        _files.check_writable(folder / name, overwrite)
    return folder


def _named(tensor, name):
    """Gives a tensor a layer with this name, which becomes the name of the file's output."""
    return keras.layers.Identity(name=name)(tensor)


def _encoder(model, length):
    source = keras.Input((length,), dtype="int32", name="source")
    states, attended = model.encode(source)
    outputs = [_named(state, f"state_{k}") for k, state in enumerate(states)]
    if attended:
        memory, keys, _ = attended
        outputs += [_named(memory, "memory"), _named(keys, "keys")]
    return keras.Model(source, outputs)


def _decoder_step(model, length):
    """Returns one step: the model's layers, with the mask of the attention as a term `hidden` that is added.

    The stock converter would quantize −1e9 and the energy of a visible step with one scale.
    """
    config = model.get_config()
    token = keras.Input((1,), dtype="int32", name="token")
    states = [keras.Input((size,), name=f"state_{k}") for k, size in enumerate(model.state_sizes)]
    inputs = [token, *states]
    table = model.get_layer("source_embedding" if config["share_embeddings"] else "target_embedding")
    # Without a mask: no token that is fed in is padding.
    embedded = keras.layers.Embedding(*table.embeddings.shape, weights=[np.array(table.embeddings)])(token)
    h, *following = model.get_layer("decoder")(embedded, initial_state=states)
    if config["attention"]:
        attention = model.get_layer("attention")
        width = config["encoder_units"][-1] * (2 if config["bidirectional"] else 1)
        memory = keras.Input((length, width), name="memory")
        keys = keras.Input((length, config["attention"]), name="keys")
        hidden = keras.Input((length,), name="hidden")
        inputs += [memory, keys, hidden]
        # In three dimensions: few operators on devices take more.
        energies = attention.energy(ops.tanh(attention.query_projection(h) + keys))
        weights = keras.layers.Softmax()(ops.reshape(energies, (-1, length)) + hidden)
        context = ops.matmul(ops.expand_dims(weights, 1), memory)
        h = model.get_layer("combination")(ops.concatenate([h, context], axis=-1))
    logits = model.get_layer("logits")(h)
    return keras.Model(inputs, [logits, *(_named(s, f"next_state_{k}") for k, s in enumerate(following))])


def _steps(model, source, target_in):
    """Returns name -> array of what the decoder's step reads, at every step of the data that is not padding."""
    states, attended = model.encode(ops.convert_to_tensor(source))
    constant = {}
    if attended:
        constant = dict(zip(("memory", "keys"), attended, strict=False))
        constant["hidden"] = np.where(source != 0, 0.0, HIDDEN)
    pieces = []
    for t in range(target_in.shape[1]):
        real = target_in[:, t] != 0
        read = {f"state_{k}": state for k, state in enumerate(states)} | constant
        pieces.append(
            {"token": target_in[real, t : t + 1]} | {n: np.asarray(v)[real] for n, v in read.items()}
        )
        _, states = model.advance(ops.convert_to_tensor(target_in[:, t]), states, attended)
    samples = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    if "hidden" in samples:  # its range holds both values even if no source of the data is padded
        samples["hidden"][-1, -1] = HIDDEN
    return samples


def _spanning(array, detail):
    """Makes an array span exactly the range of a tensor, so that it gets the tensor's scale.

    This changes two elements of the whole calibration set.
    """
    scale, zero_point = detail["quantization"]
    if scale == 0.0:
        return array
    low, high = span(Quantization(scale, zero_point), detail["dtype"])
    array = np.clip(array, low, high).astype(np.float32)
    array.flat[0], array.flat[-1] = low, high
    return array

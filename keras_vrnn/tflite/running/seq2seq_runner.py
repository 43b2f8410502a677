"""Runs an exported encoder-decoder: greedy and beam search. Needs NumPy and ai-edge-litert only."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_vrnn import _checks as checks
from keras_vrnn.hypotheses import Hypotheses
from keras_vrnn.hypotheses import length_penalty as penalty
from keras_vrnn.symbols import PADDING, Symbols
from keras_vrnn.tflite.running.engines import LiteRT, dequantize, quantize

ENCODER, DECODER, MANIFEST = "encoder.tflite", "decoder_step.tflite", "manifest.json"
SOURCE_SYMBOLS, TARGET_SYMBOLS = "source_symbols.json", "target_symbols.json"
FORMAT = "keras-vrnn encoder-decoder 1"
# Added to the energies of padded steps: e^-16 is 1e-7, and a range wider by 16 leaves int8 fine enough.
HIDDEN = -16.0


# Entries of the manifest, all positive integers.
_NUMBERS = ("start", "end", "source_vocab_size", "target_vocab_size", "source_length", "max_length")


class Seq2SeqRunner:
    """Decodes with the files that `kv.tflite.export` wrote for an `EncoderDecoder`.

    ```python
    runner = Seq2SeqRunner("g2p_int8")
    runner(["hello"])                      # symbols of the best hypothesis: [("HH", "AH", "L", "OW")]
    runner.decode(ids, beam_width=4)       # as EncoderDecoder.decode
    ```

    Args:
        folder: the folder.
        threads: how many threads each interpreter may use.

    Attributes:
        manifest: what the exporter wrote about the model: its start and end tokens, sizes and lengths.
        source_symbols, target_symbols: the `kv.Symbols` in the folder; None if it holds none.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, or can't be run.
    """

    manifest: dict[str, Any]
    source_symbols: Symbols | None
    target_symbols: Symbols | None

    def __init__(self, folder: str | os.PathLike[str], threads: int = 1):
        folder, threads = Path(folder), checks.positive_int("threads", threads)
        self.manifest = _read_manifest(folder)
        self._encoder = LiteRT(folder / ENCODER, threads, "folder")
        self._step = LiteRT(folder / DECODER, threads, "folder")
        self._states = [name for name in self._step.inputs if name.startswith("state_")]
        self._check_names(folder)
        self.source_symbols, self.target_symbols = (
            Symbols.load(folder / name) if (folder / name).is_file() else None
            for name in (SOURCE_SYMBOLS, TARGET_SYMBOLS)
        )

    def _check_names(self, folder):
        """Makes sure that the two files fit each other."""
        following = {f"next_{name}" for name in self._states}
        fits = (
            list(self._encoder.inputs) == ["source"]
            and set(self._step.inputs) - {"hidden"} == {"token", *self._encoder.outputs}
            and set(self._step.outputs) == {"logits", *following}
            and self._step.outputs["logits"]["shape"][-1] == self.manifest["target_vocab_size"]
            and self._encoder.inputs["source"]["shape"][-1] == self.manifest["source_length"]
            # A state goes in again as it came out.
            and all(
                self._step.inputs[name][key] == self._step.outputs[f"next_{name}"][key]
                for name in self._states
                for key in ("dtype", "quantization")
            )
        )
        if not fits:
            raise ValueError(
                f"`folder` must hold the two files of one encoder-decoder. Received: folder={str(folder)!r}, whose "
                f"{DECODER} takes {list(self._step.inputs)} and gives {list(self._step.outputs)}, while {ENCODER} "
                f"takes {list(self._encoder.inputs)} and gives {list(self._encoder.outputs)}; the manifest may not fit "
                "them either. Export it again."
            )

    def __call__(self, sequences: Sequence[str | Sequence[str]], **search: Any) -> list[tuple[str, ...]]:
        """Returns the best hypothesis for each sequence, from symbols to symbols.

        Args:
            sequences: strings, or lists of strings.
            **search: arguments of `decode`.

        Returns:
            One tuple of symbols per sequence.
        """
        if self.source_symbols is None or self.target_symbols is None:
            raise ValueError(
                "`folder` must hold the symbols of source and target. Export with source_symbols and target_symbols, "
                "or call decode with token ids."
            )
        encoded = self.source_symbols.encode(sequences, self.manifest["source_length"])
        return [self.target_symbols.decode(row) for row in self.decode(encoded, **search).best]

    def decode(
        self,
        source: ArrayLike,
        beam_width: int = 1,
        max_length: int | None = None,
        length_penalty: float = 0.0,
    ) -> Hypotheses:
        """Returns the `Hypotheses` for token ids, `beam_width` per source, as `EncoderDecoder.decode` does.

        Args:
            source: token ids, (samples, steps), padded with 0 at the end; at most as many steps as the encoder has.
            beam_width, max_length, length_penalty: as for `EncoderDecoder.decode`.
        """
        rows = self._checked(source)
        beam_width = checks.positive_int("beam_width", beam_width)
        max_length = self.manifest["max_length"] if max_length is None else max_length
        max_length = checks.positive_int("max_length", max_length)
        length_penalty = checks.number("length_penalty", length_penalty, at_least=0)

        shape = (len(rows), beam_width)
        tokens = np.full((*shape, max_length), PADDING, np.int32)
        lengths, log_p = np.zeros(shape, np.int32), np.full(shape, -np.inf, np.float32)
        for n, row in enumerate(rows):
            start = self._encode(row)
            found = [self._search(start, 1, max_length, length_penalty)[0]]
            if beam_width > 1:
                beams = self._search(start, beam_width, max_length, length_penalty)
                # A beam may lose the greedy hypothesis on the way.
                found = beams if found[0].tokens in [beam.tokens for beam in beams] else beams + found
            found = sorted(found, key=lambda beam: -beam.score(length_penalty))[:beam_width]
            for k, beam in enumerate(found):
                tokens[n, k, : len(beam.tokens)] = beam.tokens
                lengths[n, k], log_p[n, k] = len(beam.tokens), beam.log_p
        scores = log_p / penalty(lengths, length_penalty)
        return Hypotheses(tokens, lengths, log_p, scores.astype(np.float32))

    def _checked(self, source):
        """Returns token ids that the encoder takes, padded to its length."""
        ids = np.asarray(source)
        size, length = self.manifest["source_vocab_size"], self.manifest["source_length"]
        if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.size == 0 or ids.shape[1] > length:
            raise ValueError(
                f"`source` must be token ids of shape (samples, steps) with at most {length} steps. Received: "
                f"{ids.dtype} of shape {ids.shape}"
            )
        if ids.min() < 0 or ids.max() >= size:
            raise ValueError(
                f"`source` must hold token ids from 0 to {size - 1}. Received: {ids.min()} to {ids.max()}"
            )
        if not ids[:, 0].all():
            raise ValueError(
                "`source` must start every row with a token other than padding (0). "
                f"Received: padding first in row {np.argmin(ids[:, 0] != PADDING)}"
            )
        return np.pad(ids.astype(np.int32), ((0, 0), (0, length - ids.shape[1])))

    def _encode(self, row):
        """Runs the encoder, sets the inputs of the decoder that stay the same, and returns the first beam."""
        _run(self._encoder, {"source": row[None]})
        made = {n: dequantize(self._encoder.get(d), d) for n, d in self._encoder.outputs.items()}
        made["hidden"] = np.where(row != PADDING, 0.0, HIDDEN).astype(np.float32)[None]
        for name, detail in self._step.inputs.items():
            if name in made and name not in self._states:
                self._step.set(detail, quantize(made[name], detail))
        states = [quantize(made[name], self._step.inputs[name]) for name in self._states]
        return _Beam((), 0.0, self.manifest["start"], states, done=False)

    def _search(self, start, width, max_length, exponent):
        beams = [start]
        for _ in range(max_length):
            candidates = []
            for beam in beams:
                if beam.done:
                    candidates.append(beam)
                    continue
                log_p, states = self._advance(beam)
                for token in np.argsort(-log_p, kind="stable")[:width].tolist():
                    if log_p[token] > -np.inf:
                        done = token == self.manifest["end"]
                        total = beam.log_p + float(log_p[token])
                        candidates.append(_Beam((*beam.tokens, token), total, token, states, done))
            beams = sorted(candidates, key=lambda beam: -beam.score(exponent))[:width]
            if all(beam.done for beam in beams):
                break
        return beams

    def _advance(self, beam):
        """Runs one step of a hypothesis; returns log p of the next token, and the next states in the file's format."""
        token = np.array([[beam.last]], np.int32)
        _run(self._step, {"token": token} | dict(zip(self._states, beam.states, strict=True)))
        detail = self._step.outputs["logits"]
        logits = dequantize(self._step.get(detail), detail)[0, 0].astype(np.float64)
        log_p = logits - logits.max()
        log_p -= np.log(np.exp(log_p).sum())
        log_p[[PADDING, self.manifest["start"]]] = -np.inf
        states = [self._step.get(self._step.outputs[f"next_{name}"]) for name in self._states]
        return log_p, states


@dataclasses.dataclass(frozen=True)
class _Beam:
    """A hypothesis: its tokens, Σ log p, and the last token and the states from which it continues."""

    tokens: tuple
    log_p: float
    last: int
    states: list
    done: bool

    def score(self, exponent):
        return self.log_p / penalty(len(self.tokens), exponent)


def _read_manifest(folder):
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"`folder` must hold {MANIFEST}. Received: folder={str(folder)!r}")
    damaged = f"`folder` must hold the {MANIFEST} of an export. Received: folder={str(folder)!r}, where it"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{damaged} is not JSON ({error}).") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f'{damaged} has no "format": "{FORMAT}".')
    for name in _NUMBERS:
        if not isinstance(manifest.get(name), int) or manifest[name] < 1:
            raise ValueError(f'{damaged} has "{name}": {manifest.get(name)!r} instead of a positive integer.')
    if max(manifest["start"], manifest["end"]) >= manifest["target_vocab_size"]:
        raise ValueError(f"{damaged} has a start or end token outside the vocabulary.")
    return manifest


def _run(engine, arrays):
    for name, array in arrays.items():
        engine.set(engine.inputs[name], array)
    engine.invoke()

"""Runs an exported encoder-decoder: greedy and beam search. Needs numpy and ai-edge-litert only."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from keras_vrnn.hypotheses import Hypotheses
from keras_vrnn.hypotheses import length_penalty as penalty
from keras_vrnn.symbols import PADDING, Symbols
from keras_vrnn.tflite.running.engines import LiteRT, dequantize, quantize

ENCODER, DECODER, MANIFEST = "encoder.tflite", "decoder_step.tflite", "manifest.json"
SOURCE_SYMBOLS, TARGET_SYMBOLS = "source_symbols.json", "target_symbols.json"
FORMAT = "keras-vrnn encoder-decoder 1"
# What the energies of padded steps are lowered by: e^-16 is 1e-7, and a range of 16 more leaves int8 fine enough.
HIDDEN = -16.0


class Seq2SeqRunner:
    """Decodes with the files that `kv.tflite.export` wrote of an `EncoderDecoder`.

    ```python
    runner = Seq2SeqRunner("g2p_int8")
    runner(["hello"])                      # symbols of the best hypothesis: [("HH", "AH", "L", "OW")]
    runner.decode(ids, beam_width=4)       # as EncoderDecoder.decode
    ```

    Args:
        folder: the folder.
        threads: how many threads each interpreter may use.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the manifest is not one, or a file can't be run.
    """

    def __init__(self, folder, threads=1):
        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise FileNotFoundError(f"folder: there is no {MANIFEST} in {str(folder)!r}.")
        try:
            self.manifest = json.loads((folder / MANIFEST).read_text())
        except ValueError as error:
            raise ValueError(f"folder: {MANIFEST} in {str(folder)!r} is not JSON ({error}).") from None
        if not isinstance(self.manifest, dict) or self.manifest.get("format") != FORMAT:
            raise ValueError(f'folder: {MANIFEST} in {str(folder)!r} has no "format": "{FORMAT}".')
        self._encoder, self._step = LiteRT(folder / ENCODER, threads), LiteRT(folder / DECODER, threads)
        self._states = [name for name in self._step.inputs if name.startswith("state_")]
        self.source_symbols, self.target_symbols = (
            Symbols.load(folder / name) if (folder / name).is_file() else None
            for name in (SOURCE_SYMBOLS, TARGET_SYMBOLS)
        )

    def __call__(self, sequences, **search):
        """The best hypothesis of each sequence, from symbols to symbols.

        Args:
            sequences: strings, or lists of strings.
            **search: arguments of `decode`.

        Returns:
            A tuple of symbols for each.
        """
        if self.source_symbols is None or self.target_symbols is None:
            raise ValueError(
                "The folder holds no symbols: export with source_symbols and target_symbols, or use decode."
            )
        encoded = self.source_symbols.encode(sequences, self.manifest["source_length"])
        return [self.target_symbols.decode(row) for row in self.decode(encoded, **search).best]

    def decode(self, source, beam_width=1, max_length=None, length_penalty=0.0):
        """As `EncoderDecoder.decode`: `Hypotheses`, `beam_width` of them for each source.

        Args:
            source: token ids, (samples, steps), padded with 0 at the end; no more steps than the encoder has.
            beam_width, max_length, length_penalty: as there.
        """
        source = self._checked(source)
        max_length = self.manifest["max_length"] if max_length is None else max_length
        for name, value in (("beam_width", beam_width), ("max_length", max_length)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name}={value!r}: expected a positive integer.")
        if not (math.isfinite(length_penalty) and length_penalty >= 0):
            raise ValueError(f"length_penalty={length_penalty!r}: expected a finite number ≥ 0.")

        shape = (len(source), beam_width)
        tokens = np.full((*shape, max_length), PADDING, np.int32)
        lengths, log_p = np.zeros(shape, np.int32), np.full(shape, -np.inf, np.float32)
        for n, row in enumerate(source):
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
        ids, size, length = (
            np.asarray(source),
            self.manifest["source_vocab_size"],
            self.manifest["source_length"],
        )
        if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu" or ids.shape[1] > length:
            raise ValueError(
                f"source: expected token ids of shape (samples, steps) with at most {length} steps, received "
                f"{ids.dtype} of shape {ids.shape}."
            )
        if ids.min() < 0 or ids.max() >= size:
            raise ValueError(
                f"source: expected token ids in 0 … {size - 1}, received {ids.min()} to {ids.max()}."
            )
        if not ids[:, 0].all():
            raise ValueError(
                f"source: row {np.argmin(ids[:, 0] != PADDING)} is empty, or starts with padding."
            )
        return np.pad(ids.astype(np.int32), ((0, 0), (0, length - ids.shape[1])))

    def _encode(self, row):
        """Runs the encoder, hands on what the decoder's step reads throughout, and returns the first beam."""
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
        """One step of a hypothesis: log p of the next token, and the next states as the file holds them."""
        token = np.array([[beam.last]], np.int32)
        _run(self._step, {"token": token} | dict(zip(self._states, beam.states, strict=True)))
        detail = self._step.outputs["logits"]
        logits = dequantize(self._step.get(detail), detail)[0, 0].astype(np.float64)
        log_p = logits - logits.max()
        log_p -= np.log(np.exp(log_p).sum())
        log_p[[PADDING, self.manifest["start"]]] = -np.inf
        states = []
        for name in self._states:
            source, target = self._step.outputs[f"next_{name}"], self._step.inputs[name]
            state = self._step.get(source)
            if source["quantization"] != target["quantization"]:  # of an activation without a fixed range
                state = quantize(dequantize(state, source), target)
            states.append(state)
        return log_p, states


@dataclasses.dataclass(frozen=True)
class _Beam:
    """A hypothesis: its tokens, Σ log p, the token to go on from and the states to go on with."""

    tokens: tuple
    log_p: float
    last: int
    states: list
    done: bool

    def score(self, exponent):
        return self.log_p / penalty(len(self.tokens), exponent)


def _run(engine, arrays):
    for name, array in arrays.items():
        engine.set(engine.inputs[name], array)
    engine.invoke()

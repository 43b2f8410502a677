"""Seq2SeqRunner: bad requests, and folders in which a file is missing, damaged or another model's."""

import json
import shutil

import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite import Seq2SeqRunner

SOURCE = np.array([[3, 4, 5, 0, 0, 0], [6, 3, 0, 0, 0, 0]], np.int32)


def export(folder, **options):
    model = kv.EncoderDecoder(9, 7, units=4, embedding=3, **options)
    kv.tflite.export(model, folder, quantization="float32", source_length=6)
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export(tmp_path_factory.mktemp("seq2seq"))


@pytest.fixture
def folder(exported, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((SOURCE, 0), "`beam_width` must be a positive integer"),
        ((SOURCE, True), "`beam_width` must be a positive integer"),
        ((SOURCE, 1, 0), "`max_length` must be a positive integer"),
        ((SOURCE, 1, 5, -1), "`length_penalty` must be a finite number"),
        ((np.zeros((2, 3), int),), "Received: padding first in row 0"),
        (([[3, 99]],), "token ids from 0 to 8. Received: 3 to 99"),
        ((np.ones((1, 7), int),), "at most 6 steps"),
        (([3, 4],), r"Received: int64 of shape \(2,\)"),
        (([[3.0, 4.0]],), "Received: float64"),
    ],
)
def test_bad_requests(arguments, message, exported):
    with pytest.raises(ValueError, match=message):
        Seq2SeqRunner(exported).decode(*arguments)


def test_decoding_ends_after_the_length_of_the_manifest(exported):
    runner = Seq2SeqRunner(exported)
    assert runner.manifest["max_length"] == 2 * 6 + 10
    assert runner.decode(SOURCE).tokens.shape == (2, 1, 22)


def test_symbols_are_needed_for_symbols(exported):
    with pytest.raises(ValueError, match="`folder` must hold the symbols of source and target"):
        Seq2SeqRunner(exported)(["abc"])


@pytest.mark.parametrize("name", ["manifest.json", "encoder.tflite", "decoder_step.tflite"])
def test_missing_files(name, folder):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        Seq2SeqRunner(folder)


@pytest.mark.parametrize("name", ["encoder.tflite", "decoder_step.tflite"])
def test_damaged_files(name, folder):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}', which is damaged"):
        Seq2SeqRunner(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, 'has no "format": "keras-vrnn encoder-decoder 1"'),
        ({"start": None}, '"start": None instead of a positive integer'),
        ({"max_length": "9"}, "\"max_length\": '9' instead of a positive integer"),
        ({"end": 7}, "a start or end token outside the vocabulary"),
        ({"target_vocab_size": 8}, "must hold the two files of one encoder-decoder"),
        ({"source_length": 7}, "must hold the two files of one encoder-decoder"),
    ],
)
def test_damaged_manifests(changes, message, folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    with pytest.raises(ValueError, match=message):
        Seq2SeqRunner(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"'])
def test_manifests_that_are_something_else(text, folder):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"must hold the manifest.json of an export"):
        Seq2SeqRunner(folder)


def test_files_of_two_models(folder, tmp_path):
    other = export(tmp_path / "other", attention=3)
    shutil.copy(other / "encoder.tflite", folder)
    with pytest.raises(ValueError, match="must hold the two files of one encoder-decoder"):
        Seq2SeqRunner(folder)


def test_a_state_of_two_formats_is_refused(exported):
    """An earlier exporter gave states the formats of the encoder's outputs; read in another format they are wrong."""
    runner = Seq2SeqRunner(exported)
    runner._step.outputs["next_state_0"]["quantization"] = (0.5, 0)
    with pytest.raises(ValueError, match="Export it again"):
        runner._check_names(exported)

"""The exported encoder-decoder: the same searches as in Keras, without TensorFlow."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
from token_probabilities import log_softmax

import keras_vrnn as kv
from keras_vrnn import cli
from keras_vrnn.tflite import Seq2SeqRunner
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

LETTERS, SOUNDS = kv.Symbols(tuple("abcdef")), kv.Symbols(("P", "T", "K", "A"))
VARIANTS = {
    "plain": dict(units=6),
    "stacked, bidirectional": dict(units=[6, 5], encoder_units=[4], bidirectional=True),
    "attention": dict(units=8, bidirectional=True, attention=6),
    "fast": dict(cell="fast", units=8, encoder_units=5, attention=6),
    "gru": dict(cell="gru", units=[6, 5], encoder_units=[4], bidirectional=True, reset_after=False),
    "gru, attention": dict(cell="gru", units=8, bidirectional=True, attention=6),
    "lstm": dict(cell="lstm", units=8),
    "lstm, attention": dict(
        cell="lstm",
        units=[6, 5],
        encoder_units=[4, 3],
        bidirectional=True,
        attention=6,
        share_embeddings=False,
    ),
}
GATED = [name for name, options in VARIANTS.items() if "cell" in options]
# float32 rounding of some tens of steps of sums of a few dozen terms.
ROUNDING = 1e-4


def made(variant):
    keras.utils.set_random_seed(7)
    model = kv.EncoderDecoder(len(LETTERS), len(SOUNDS), embedding=5, **VARIANTS[variant])
    # Larger weights than at the start: decoding shall not be a draw among equals.
    model.set_weights([2 * w + 0.1 * np.sin(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
    return model


def data(rows=30):
    rng = np.random.default_rng(5)
    source, target = rng.integers(3, 9, (rows, 6)), rng.integers(3, 7, (rows, 5))
    source[np.arange(6) >= rng.integers(1, 7, (rows, 1))] = 0
    target[np.arange(5) >= rng.integers(1, 6, (rows, 1))] = 0
    return source.astype("int32"), target.astype("int32")


def exported(model, folder, quantization, **options):
    source, target = data()
    pairs = source, model.teacher_forcing(target)[0]
    return kv.tflite.export(
        model, folder, quantization=quantization, calibration_data=pairs, max_length=8, **options
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_decodes_as_keras_does(variant, tmp_path):
    model = made(variant)
    exported(model, tmp_path, "float32")
    runner, (source, _) = Seq2SeqRunner(tmp_path), data()
    for width, penalty in ((1, 0.0), (3, 0.7)):
        expected = model.decode(source, width, max_length=8, length_penalty=penalty)
        found = runner.decode(source, width, length_penalty=penalty)
        np.testing.assert_allclose(found.scores, expected.scores, atol=ROUNDING)
        np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=ROUNDING)
        np.testing.assert_array_equal(found.tokens, expected.tokens)
        np.testing.assert_array_equal(found.lengths, expected.lengths)


def forced(runner, source, target_in):
    """Returns log p of every token but padding and start, where the steps read given tokens."""
    made = []
    for row, tokens in zip(source, target_in, strict=True):
        beam, steps = runner._encode(row), []
        for token in tokens:
            log_p, states = runner._advance(dataclasses.replace(beam, last=token))
            beam = dataclasses.replace(beam, states=states)
            steps.append(log_p[2:])
        made.append(steps)
    return np.array(made)


def forced_by_keras(model, source, target_in):
    """Returns the same from the training graph, which has all steps at once."""
    return log_softmax(model((source, target_in)))[..., 2:]


@pytest.mark.parametrize("variant", GATED)
def test_float32_steps_equal_the_training_graph(variant, tmp_path):
    model = made(variant)
    exported(model, tmp_path, "float32")
    source, target = data(12)
    target_in, _ = model.teacher_forcing(target)
    real = target_in != 0
    received = forced(Seq2SeqRunner(tmp_path), source, target_in)
    np.testing.assert_allclose(
        received[real], forced_by_keras(model, source, target_in)[real], rtol=0, atol=1e-5
    )


# Cell -> the types of its states in an int8 file.
KEPT = {"fast": [np.int32], "gru": [np.int32], "lstm": [np.int8, np.int16]}
# Cell -> the part of its bias that makes its 8 units forget slowly; FastRNN starts with such units.
SLOW = {"fast": np.s_[:0], "gru": np.s_[0, :8], "lstm": np.s_[8:16]}


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("cell", SLOW)
def test_slow_and_wide_states_survive_sixty_steps(cell, quantization, tmp_path):
    """States of 8 bits would swallow the changes of slow units; a cell state leaves the range of its start."""
    keras.utils.set_random_seed(7)
    model = kv.EncoderDecoder(9, 7, 8, cell=cell, embedding=5)
    model.set_weights([2 * w + 0.1 * np.sin(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
    variable = model.get_layer("decoder").layers[0].cell.bias
    bias = np.array(variable)
    bias[SLOW[cell]] += 4
    variable.assign(bias)
    source, _ = data(12)
    target_in, _ = model.teacher_forcing(np.random.default_rng(6).integers(3, 7, (12, 60)))
    kv.tflite.export(model, tmp_path, quantization=quantization, calibration_data=(source, target_in))
    runner, expected = Seq2SeqRunner(tmp_path), forced_by_keras(model, source, target_in)
    kept = [runner._step.inputs[name]["dtype"] for name in runner._states]
    assert kept == (KEPT[cell] if quantization == "int8" else [np.int16] * len(kept))
    error = np.abs(forced(runner, source, target_in) - expected).mean()
    # The promise for int8. With states of int8 in the range of the first, int8 errors were 4 to 12 % of the range.
    assert error <= 0.015 * np.ptp(expected)


@pytest.mark.slow
@pytest.mark.parametrize("cell", SLOW)
def test_trained_models_keep_their_accuracy_in_integers(cell, tmp_path):
    """Reverses up to four digits; 400 numbers that training has not seen."""
    digits, rng = kv.Symbols(tuple("0123456789")), np.random.default_rng(5)
    numbers = ["".join(rng.choice(list("0123456789"), rng.integers(1, 5))) for _ in range(8_000)]
    seen, held_out = numbers[1000:], sorted(set(numbers[:1000]) - set(numbers[1000:]))[:400]
    keras.utils.set_random_seed(1)
    model = kv.EncoderDecoder(13, 13, units=48, cell=cell, embedding=16, source_length=4, target_length=5)
    source, target = digits.encode(seen, 4), digits.encode([n[::-1] for n in seen], 4)
    target_in, target_out = model.teacher_forcing(target)
    model.compile(keras.optimizers.Adam(0.005), global_clipnorm=1.0)
    model.fit((source, target_in), target_out, batch_size=128, epochs=16, verbose=0)

    def accuracy(decode):
        best = decode(digits.encode(held_out, 4)).best
        return np.mean([digits.decode(row) == tuple(n[::-1]) for row, n in zip(best, held_out, strict=True)])

    expected = accuracy(model.decode)
    assert expected >= 0.75  # far from guessing, which is what the comparison needs
    for quantization, loss in (("float32", 0.0), ("int8", 0.03), ("int16x8", 0.01)):
        data = source[:200], target_in[:200]
        folder = tmp_path / quantization
        kv.tflite.export(model, folder, quantization=quantization, calibration_data=data)
        assert accuracy(Seq2SeqRunner(folder).decode) >= expected - loss


def test_sources_without_padding_calibrate_padded_ones(tmp_path):
    model = made("gru, attention")
    source, target = data(40)
    whole, target_in = np.where(source == 0, 5, source), model.teacher_forcing(target)[0]
    kv.tflite.export(model, tmp_path, quantization="int8", calibration_data=(whole, target_in))
    received, real = forced(Seq2SeqRunner(tmp_path), source[:12], target_in[:12]), target_in[:12] != 0
    expected = forced_by_keras(model, source[:12], target_in[:12])
    # As above; if padded steps were visible it would be several times as much.
    assert np.abs(received - expected)[real].mean() <= 0.03 * np.ptp(expected)


@pytest.mark.parametrize(("quantization", "tolerance"), [("int8", 0.25), ("int8x4", 1.5), ("int16x8", 0.05)])
def test_integers_are_close_to_keras_and_handed_on_unchanged(quantization, tolerance, tmp_path):
    model = made("attention")
    result = exported(model, tmp_path, quantization)
    runner, (source, _) = Seq2SeqRunner(tmp_path), data()
    found, expected = runner.decode(source), model.decode(source, max_length=8)
    same = (found.tokens == expected.tokens).all(axis=(1, 2))
    # A model of random weights has many near-draws.
    assert same.mean() >= (0.3 if quantization == "int8x4" else 0.7)
    # Mean error of Σ log p over up to 8 steps; a wrong scale or a memory not seen costs whole units.
    errors = np.abs(found.log_probabilities - expected.log_probabilities)[same]
    assert errors.mean() <= tolerance
    # What goes from one file to the other has one scale in both.
    for name, (scale, zero_point) in runner.manifest["passed_on"].items():
        detail = runner._step.inputs[name]["quantization"]
        assert detail[0] == pytest.approx(scale, rel=1e-6)
        assert detail[1] == zero_point
    fixed = 1 / 32768 if quantization == "int16x8" else 1 / 128
    assert runner._step.inputs["state_0"]["quantization"] == (fixed, 0)
    assert runner._step.outputs["next_state_0"]["quantization"] == (fixed, 0)
    assert result.size == sum(
        (tmp_path / f).stat().st_size for f in ("encoder.tflite", "decoder_step.tflite")
    )
    for path in (result.encoder.path, result.decoder_step.path):
        file = ModelFile(path.read_bytes())
        types = {tensor.type for graph in file.model.subgraphs for tensor in graph.tensors}
        assert 0 not in types  # FLOAT32


def test_symbols_in_symbols_out_without_tensorflow(tmp_path):
    model = made("attention")
    exported(model, tmp_path / "new" / "folder", "int8", source_symbols=LETTERS, target_symbols=SOUNDS)
    code = (
        "import sys\n"
        "from keras_vrnn.tflite import Seq2SeqRunner\n"
        f"runner = Seq2SeqRunner({str(tmp_path / 'new' / 'folder')!r})\n"
        "print([' '.join(said) for said in runner(['abc', ['f', 'e']], beam_width=2)])\n"
        "print(sorted({'keras', 'tensorflow', 'tf_keras'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    said, modules = done.stdout.splitlines()
    runner = Seq2SeqRunner(tmp_path / "new" / "folder")
    best = runner.decode(LETTERS.encode(["abc", "fe"]), beam_width=2).best
    assert said == str([" ".join(SOUNDS.decode(row)) for row in best])
    assert modules == "[]"


def test_scales_from_sources_alone_and_no_symbols_of_another_export(tmp_path):
    model = made("attention")
    exported(model, tmp_path, "int8", source_symbols=LETTERS, target_symbols=SOUNDS)
    before = Seq2SeqRunner(tmp_path)
    source, _ = data()
    result = kv.tflite.export(model, tmp_path, calibration_data=source, max_length=8, overwrite=True)
    assert [line.partition(":")[0] for line in str(result).splitlines() if ":" in line] == [
        str(tmp_path / name) for name in ("encoder.tflite", "decoder_step.tflite")
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "decoder_step.tflite", "encoder.tflite", "manifest.json",
    ]  # fmt: skip
    found, expected = Seq2SeqRunner(tmp_path).decode(source), model.decode(source, max_length=8)
    assert (found.tokens == expected.tokens).all(axis=(1, 2)).mean() >= 0.7  # as with pairs
    assert before.source_symbols is not None


def test_float_needs_no_data(tmp_path):
    model = made("plain")
    kv.tflite.export(model, tmp_path / "new", quantization="float32", source_length=6, max_length=8)
    source, _ = data()
    found, expected = Seq2SeqRunner(tmp_path / "new").decode(source), model.decode(source, max_length=8)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=ROUNDING)


def test_on_the_command_line(tmp_path, capsys):
    model = made("plain")
    model.save(tmp_path / "model.keras")
    source, target = data()
    np.savez(tmp_path / "pairs.npz", source=source, target_in=model.teacher_forcing(target)[0])
    files = [str(tmp_path / name) for name in ("model.keras", "out")]
    command = ["export", *files, "--calibration-data", str(tmp_path / "pairs.npz")]
    assert cli.main(command) == 0
    assert Seq2SeqRunner(tmp_path / "out").decode(source).tokens.shape[0] == len(source)
    assert cli.main(command) == 2
    assert "encoder.tflite', which exists. Pass --overwrite" in capsys.readouterr().err
    (tmp_path / "file").write_text("kept")
    assert cli.main(["export", files[0], str(tmp_path / "file"), "--overwrite", *command[3:]]) == 2
    assert "must be a folder for an encoder-decoder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_options_of_an_encoder_decoder_are_for_none_else(tmp_path):
    model = keras.Sequential([keras.Input((4, 2)), kv.VanillaRNN(3)])
    with pytest.raises(
        ValueError, match=r"`max_length` must be left out, except for a kv\.EncoderDecoder. Received: a model"
    ):
        kv.tflite.export(model, tmp_path / "m", quantization="float32", max_length=3)


def test_bad_requests(tmp_path):
    model = made("plain")
    source, target = data(4)
    pairs = source, model.teacher_forcing(target)[0]
    for changes, message in (
        (dict(quantization="int4"), "`quantization` must be one of 'float32'"),
        (dict(calibration_data=None), "`calibration_data` must be given with quantization='int8'"),
        (dict(calibration_data=None, quantization="float32"), "`source_length` must be given"),
        (dict(calibration_data=(source,) * 3), r"must be the pair \(source, target_in\)"),
        (dict(form="streaming"), "`form` must be left out for an encoder-decoder"),
        (dict(batch_size=2), "`batch_size` must be left out for an encoder-decoder"),
        (dict(calibration_data=(source, pairs[1][:2])), "4 sources, 2 targets"),
        (dict(calibration_data=(source + 90, pairs[1])), r"`calibration_data\[0\]` must hold token ids"),
        (dict(source_length=3), "must be at least the 6 source steps of calibration_data"),
        (dict(source_symbols=SOUNDS), "must have the model's 9 ids. Received: symbols of 7 ids"),
    ):
        with pytest.raises(ValueError, match=message):
            kv.tflite.export(model, tmp_path / "none", **(dict(calibration_data=pairs) | changes))
    assert not (tmp_path / "none").exists()

    kv.tflite.export(model, tmp_path, quantization="float32", calibration_data=pairs)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(FileExistsError, match=r"encoder.tflite', which exists. Pass overwrite=True"):
        kv.tflite.export(model, tmp_path, quantization="float32", calibration_data=pairs)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before

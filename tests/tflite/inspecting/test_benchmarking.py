"""benchmark: that times and sizes belong together, and what it refuses. No test asserts a speed."""

import json

import keras
import numpy as np
import pytest
from stock_files import convert

import keras_vrnn as kv
from keras_vrnn.tflite.inspecting import benchmarking
from keras_vrnn.tflite.micro import interpreter as micro

X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)
QUICK = {"runs": 5, "warmup": 1}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    model = keras.Sequential([keras.Input((9, 3), name="x"), kv.VanillaRNN(4), keras.layers.Dense(2)])
    for form, quantization in [("sequence", "int8"), ("streaming", "int8"), ("sequence", "float16")]:
        path = folder / f"{form}_{quantization}"
        kv.tflite.export(model, path, form=form, quantization=quantization, calibration_data=X)
    return folder


def test_a_sequence(files):
    path = files / "sequence_int8"
    report = kv.tflite.benchmark(path, threads=2, **QUICK)
    assert (report.streaming, report.steps, report.batch, report.threads, report.runs) == (False, 9, 1, 2, 5)
    assert 0 < report.sequence_us["p50"] <= report.sequence_us["p90"] <= report.sequence_us["p99"]
    assert report.step_us["p50"] == pytest.approx(report.sequence_us["p50"] / 9)
    assert report.size == path.stat().st_size == sum(report.sizes.values())
    assert report.sizes == kv.tflite.inspect(path).sizes
    # The arena's start decides a few bytes.
    assert abs(report.arena.total - micro.attempt(path).arena.total) <= 16
    assert report.arena.smallest > 0


def test_a_stream(files):
    report = kv.tflite.benchmark(files / "streaming_int8", steps=7, **QUICK)
    assert (report.streaming, report.steps) == (True, 7)
    # A sequence is its seven invokes, so that it takes at least seven times the fastest.
    assert report.sequence_us["p50"] > report.step_us["p50"]
    assert kv.tflite.benchmark(files / "streaming_int8", **QUICK).steps == 100


def test_percentiles_of_known_times(files, monkeypatch):
    """On a Runner whose clock is known."""

    class Clocked(kv.tflite.Runner):
        runs = 0

        def __call__(self, x):
            type(self).runs += 1
            self.seconds = np.array([1e-6 * type(self).runs])

    monkeypatch.setattr(benchmarking, "Runner", Clocked)
    report = kv.tflite.benchmark(files / "sequence_int8", runs=101, warmup=9)
    # Runs 10 to 110 are timed, of 10 to 110 µs.
    assert report.sequence_us == pytest.approx({"p50": 60, "p90": 100, "p99": 109})
    assert report.step_us == pytest.approx({"p50": 60 / 9, "p90": 100 / 9, "p99": 109 / 9})


def test_text_and_json(files):
    report = kv.tflite.benchmark(files / "sequence_float16", **QUICK)
    assert report.arena is None
    assert "not measured, TFLite Micro can't run it: " in str(report)
    assert json.loads(report.to_json())["sizes"] == report.sizes


def test_without_tflite_micro(files, monkeypatch):
    monkeypatch.setattr(micro, "is_installed", lambda: False)
    assert (
        "pip install 'keras-vrnn[micro]'" in kv.tflite.benchmark(files / "sequence_int8", **QUICK).arena_note
    )


def test_an_open_number_of_time_steps(tmp_path):
    import tensorflow as tf

    path = convert(tmp_path / "m", lambda x: tf.reduce_sum(x, 1), tf.TensorSpec((1, None, 3)))
    with pytest.raises(ValueError, match="`steps` must be a positive integer for this file"):
        kv.tflite.benchmark(path, **QUICK)
    assert kv.tflite.benchmark(path, steps=6, **QUICK).steps == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 0}, "`runs` must be a positive integer. Received: runs=0"),
        ({"warmup": -1}, "`warmup` must be a positive integer. Received: warmup=-1"),
        ({"threads": 0}, "`threads` must be a positive integer. Received: threads=0"),
        ({"steps": 5}, "`steps` must be 9, .* Received: steps=5"),
    ],
)
def test_wrong_options(files, options, message):
    with pytest.raises(ValueError, match=message):
        kv.tflite.benchmark(files / "sequence_int8", **options)


def test_damaged_and_missing_files(files, tmp_path):
    cut = tmp_path / "cut"
    cut.write_bytes((files / "sequence_int8").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"must be a .* Received: .*cut'"):
        kv.tflite.benchmark(cut)
    with pytest.raises(FileNotFoundError, match="Received: path='none'"):
        kv.tflite.benchmark("none")

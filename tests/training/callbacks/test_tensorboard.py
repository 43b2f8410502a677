"""GradientNorms(tensorboard=…): a real event file, read back."""

import importlib.util
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from trainings import linear_model

import keras_vrnn as kv


def train(folder, epochs=1, count=20, **compile_args):
    """The gradient of step k of an epoch has norm k; that of the tenth is not finite."""
    x = np.zeros((count, 2), "float32")
    x[:, 0] = np.arange(1, count + 1)
    x[9] = np.nan
    model = linear_model(global_clipnorm=15.0, **compile_args)
    norms = kv.callbacks.GradientNorms(tensorboard=folder)
    y = np.zeros((count, 1), "float32")
    model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[norms])
    return norms, model


def events(folder):
    """All events of the one file in the folder. An event file is a file of TFRecords."""
    (path,) = folder.glob("*tfevents*")
    return [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]


def scalars(read):
    """tag -> [(step, value)]"""
    found = {}
    for event in read:
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.mark.parametrize("steps_per_execution", [1, 7])
def test_every_norm_of_every_step_is_a_scalar(tmp_path, steps_per_execution):
    norms, _ = train(tmp_path / "new" / "folder", epochs=2, steps_per_execution=steps_per_execution)
    found = scalars(events(tmp_path / "new" / "folder"))
    table = norms.to_numpy()
    assert list(found) == [name for name in table.dtype.names if name not in ("step", "applied")]
    for name, points in found.items():
        steps, values = zip(*points, strict=True)
        assert list(steps) == list(range(1, 41))
        np.testing.assert_array_equal(values, table[name])  # float32 there and here; NaN at steps 10 and 30


def test_histograms_hold_every_finite_norm_of_their_epoch(tmp_path):
    train(tmp_path, epochs=2)
    found = {}
    for event in events(tmp_path):
        for value in event.summary.value:
            if value.HasField("histo"):
                found.setdefault(value.tag, []).append((event.step, value.histo))
    assert [tag.split("/")[0] for tag in found] == ["log10_grad_norm", "log10_grad_norm"]
    expected = np.log10(np.delete(np.arange(1.0, 21), 9))
    for points in found.values():
        assert [step for step, _ in points] == [20, 40]
        for _, histogram in points:
            assert histogram.num == 19 == sum(histogram.bucket)
            limits = np.array(histogram.bucket_limit)
            # Buckets (limit before, own limit]; a tenth of a decade each.
            counted = [
                np.sum((expected >= low) & (expected < high)) for low, high in itertools.pairwise(limits)
            ]
            assert list(histogram.bucket[1:]) == counted
            assert histogram.min <= expected.min() < histogram.min + 0.1
            assert histogram.max - 0.1 <= expected.max() <= histogram.max


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
def test_tensorboard_reads_the_file(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    norms, _ = train(tmp_path)
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    assert len(tags["scalars"]) == 4
    assert len(tags["histograms"]) == 2
    np.testing.assert_array_equal([e.value for e in accumulator.Scalars("grad_norm")], norms.norms)
    assert accumulator.Histograms("log10_grad_norm")[0].histogram_value.num == 19


def test_a_second_fit_writes_another_file(tmp_path):
    norms, model = train(tmp_path, count=12)
    x = np.ones((3, 2), "float32")
    model.fit(x, x[:, :1], batch_size=1, verbose=0, callbacks=[norms])
    first, second = sorted(tmp_path.glob("*tfevents*"))
    assert sum(path.stat().st_size for path in (first, second)) > 0
    steps = {
        event.step
        for path in (first, second)
        for record in tf.data.TFRecordDataset(str(path))
        if (event := tf.compat.v1.Event.FromString(record.numpy())).summary.value
    }
    assert steps == set(range(1, 16))


def test_the_file_can_be_read_while_training_runs(tmp_path):
    seen = []
    x = np.ones((4, 2), "float32")
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(len(scalars(events(tmp_path)).get("grad_norm", [])))
    )
    norms = kv.callbacks.GradientNorms(tensorboard=tmp_path)
    linear_model().fit(x, x[:, :1], batch_size=1, epochs=3, verbose=0, callbacks=[norms, look])
    assert seen == [4, 8, 12]


def test_zeros_and_norms_beyond_the_columns(tmp_path):
    x = np.array([[1e-30, 0], [0, 0], [1e18, 0]], "float32")
    norms = kv.callbacks.GradientNorms(tensorboard=tmp_path)
    linear_model().fit(x, x[:, :1], batch_size=1, shuffle=False, verbose=0, callbacks=[norms])
    (histogram,) = [v.histo for e in events(tmp_path) for v in e.summary.value if v.tag == "log10_grad_norm"]
    assert histogram.num == 2, "a norm of 0 has no logarithm"
    assert (histogram.min, histogram.max) == (-15, 15)


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path, folder):
    (tmp_path / "file").write_text("")
    model = linear_model()
    x = np.ones((2, 2), "float32")
    with pytest.raises(OSError, match=r"tensorboard='.*' cannot be written: .* Expected a writable folder"):
        model.fit(
            x, x[:, :1], verbose=0, callbacks=[kv.callbacks.GradientNorms(tensorboard=tmp_path / folder)]
        )
    assert not model.get_weights()[0].any(), "no step was made"


def test_tensorboard_must_be_a_path():
    with pytest.raises(TypeError, match="`tensorboard` must be the path of a folder, or None"):
        kv.callbacks.GradientNorms(tensorboard=3)

"""The table of gradient norms, bounded in memory and complete in its CSV file."""

import numpy as np
import pytest
from trainings import batches, linear_model, read_csv, train_recorded

import keras_vrnn as kv
from keras_vrnn.training.history import NormHistory
from keras_vrnn.training.recorder import Rows


def test_to_numpy_has_the_columns_of_the_csv(tmp_path):
    path = tmp_path / "norms.csv"
    norms = kv.callbacks.GradientNorms(csv=path)
    train_recorded(norms, bad=9, global_clipnorm=0.3, epochs=2)
    table = norms.to_numpy()
    header, rows = read_csv(path)
    assert tuple(header) == table.dtype.names
    assert header[:4] == ["step", "applied", "grad_norm", "clipped_grad_norm"]
    assert header[4].startswith("grad_norm/")
    assert header[5].startswith("clipped_grad_norm/")
    # Nine digits give every float32 back.
    for i, name in enumerate(header):
        np.testing.assert_array_equal(rows[:, i].astype(table[name].dtype), table[name])
    assert not list(tmp_path.glob("*.part"))


def test_memory_is_bounded_and_the_csv_is_complete(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv", max_steps=30)
    train_recorded(norms, count=300, steps_per_execution=7)
    np.testing.assert_array_equal(norms.steps, np.arange(271, 301))
    np.testing.assert_array_equal(norms.norms, np.arange(271, 301))
    np.testing.assert_array_equal(read_csv(tmp_path / "norms.csv")[1][:, 0], np.arange(1, 301))


def test_an_interrupted_training_leaves_its_norms(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv")
    with pytest.raises(FloatingPointError, match="step 10 is not finite"):
        train_recorded(norms, bad=9, nonfinite="raise")
    assert len(norms.steps) == 10
    assert len(read_csv(tmp_path / "norms.csv.part")[1]) == 10
    assert not (tmp_path / "norms.csv").exists()


def test_an_existing_csv_is_refused_before_training_and_replaced_on_request(tmp_path):
    path = tmp_path / "norms.csv"
    path.write_text("precious")
    model = linear_model()
    x, y = batches(3)
    with pytest.raises(FileExistsError, match=r"norms.csv', which exists. Pass overwrite=True"):
        model.fit(x, y, verbose=0, callbacks=[kv.callbacks.GradientNorms(csv=path)])
    assert path.read_text() == "precious"
    assert not model.get_weights()[0].any(), "no step was made"
    model.fit(x, y, verbose=0, callbacks=[kv.callbacks.GradientNorms(csv=path, overwrite=True)])
    assert len(read_csv(path)[1]) == 1


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_csv_that_cannot_be_written_is_refused_before_training(tmp_path, folder):
    (tmp_path / "file").write_text("")
    model = linear_model()
    x, y = batches(3)
    norms = kv.callbacks.GradientNorms(csv=tmp_path / folder / "norms.csv")
    with pytest.raises(OSError, match=r"`csv` must be in .*folder"):
        model.fit(x, y, verbose=0, callbacks=[norms])
    assert not model.get_weights()[0].any(), "no step was made"


def test_changed_variables_are_refused():
    history = NormHistory(None, per_variable=True)
    history.append(Rows(("a",), 1, np.ones((2, 5), "float32")))
    with pytest.raises(ValueError, match=r"variables have changed, from \['a'\] to \['b'\]"):
        history.append(Rows(("b",), 3, np.ones((2, 5), "float32")))


@pytest.mark.parametrize("max_steps", [1, 4, 7, None])
def test_the_latest_steps_stay_however_they_come(max_steps):
    history, values = NormHistory(max_steps, per_variable=False), np.arange(1.0, 12, dtype="float32")
    for start, stop in [(0, 3), (3, 4), (4, 9), (9, 11)]:
        table = np.zeros((stop - start, 5), "float32")
        table[:, 1] = values[start:stop]
        history.append(Rows(("a",), start + 1, table))
    steps, _, norms, _ = history.columns()
    kept = slice(None if max_steps is None else -max_steps, None)
    assert steps.tolist() == list(range(1, 12))[kept]
    np.testing.assert_array_equal(norms[:, 0], values[kept])

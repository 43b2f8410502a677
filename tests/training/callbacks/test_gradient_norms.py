"""GradientNorms: its tables and files."""

import csv
import sys
import weakref

import keras
import numpy as np
import pytest
from trainings import linear_model

import keras_vrnn as kv
from keras_vrnn.training.history import NormHistory
from keras_vrnn.training.recorder import GradientRecorder, Rows


def batches(count=50, bad=None):
    """Rows (k, 0): the gradient of the linear model has norm k."""
    x = np.zeros((count, 2), "float32")
    x[:, 0] = np.arange(1, count + 1)
    if bad is not None:
        x[bad] = np.nan
    return x, np.zeros((count, 1), "float32")


def train(norms, count=50, bad=None, epochs=1, **compile_args):
    model = linear_model(**compile_args)
    x, y = batches(count, bad)
    model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0, callbacks=[norms])
    return model


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, dtype=float)


def test_every_step_is_recorded_before_and_after_clipping():
    norms = kv.callbacks.GradientNorms()
    train(norms, bad=9, global_clipnorm=20.0)
    k = np.arange(1.0, 51)
    k[9] = np.nan
    np.testing.assert_array_equal(norms.steps, np.arange(1, 51))
    np.testing.assert_array_equal(norms.norms, k)
    np.testing.assert_array_equal(norms.clipped_norms, np.nan_to_num(np.minimum(k, 20)))
    np.testing.assert_array_equal(norms.applied, np.isfinite(k))
    (path,) = norms.variable_norms
    assert path.endswith("/kernel")
    np.testing.assert_array_equal(norms.variable_norms[path], k)
    # k · 20/k in float32.
    np.testing.assert_allclose(
        norms.clipped_variable_norms[path], np.nan_to_num(np.minimum(k, 20)), rtol=1e-6
    )


def test_to_numpy_has_the_columns_of_the_csv(tmp_path):
    path = tmp_path / "norms.csv"
    norms = kv.callbacks.GradientNorms(csv=path)
    train(norms, bad=9, global_clipnorm=0.3, epochs=2)
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


def test_per_variable_norms_can_be_left_out(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv", per_variable=False)
    train(norms)
    assert norms.variable_norms == {}
    assert read_csv(tmp_path / "norms.csv")[0] == ["step", "applied", "grad_norm", "clipped_grad_norm"]


def test_memory_is_bounded_and_the_csv_is_complete(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv", max_steps=30)
    train(norms, count=300, steps_per_execution=7)
    np.testing.assert_array_equal(norms.steps, np.arange(271, 301))
    np.testing.assert_array_equal(norms.norms, np.arange(271, 301))
    np.testing.assert_array_equal(read_csv(tmp_path / "norms.csv")[1][:, 0], np.arange(1, 301))


def test_a_second_fit_continues_the_table(tmp_path):
    path = tmp_path / "norms.csv"
    norms = kv.callbacks.GradientNorms(csv=path)
    model = train(norms, count=5)
    x, y = batches(3)
    model.fit(x, y, batch_size=1, verbose=0)  # without the callback: not recorded
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[norms])
    assert norms.steps.tolist() == read_csv(path)[1][:, 0].tolist() == [1, 2, 3, 4, 5, 9, 10, 11]


def test_two_callbacks_see_the_same():
    first, second = kv.callbacks.GradientNorms(), kv.callbacks.GradientNorms(per_variable=False)
    model = linear_model()
    x, y = batches(5)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[first, second])
    np.testing.assert_array_equal(first.norms, second.norms)


def test_norms_can_be_read_while_training_runs():
    seen = []
    norms = kv.callbacks.GradientNorms()
    at_batch_end = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(len(norms.steps))
    )
    model = linear_model()
    x, y = batches(4)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[norms, at_batch_end])
    assert seen == [1, 2, 3, 4]


def test_an_interrupted_training_leaves_its_norms(tmp_path):
    norms = kv.callbacks.GradientNorms(csv=tmp_path / "norms.csv")
    with pytest.raises(FloatingPointError, match="step 10 is not finite"):
        train(norms, bad=9, nonfinite="raise")
    assert len(norms.steps) == 10
    assert len(read_csv(tmp_path / "norms.csv.part")[1]) == 10
    assert not (tmp_path / "norms.csv").exists()


def test_overwritten_steps_are_reported():
    model = linear_model()
    norms = kv.callbacks.GradientNorms()
    norms.set_model(model)
    x, y = batches(1)
    for _ in range(257):
        model.train_step((x, y))
    with pytest.raises(RuntimeError, match="1 steps of gradient norms were overwritten"):
        norms.steps  # noqa: B018 - reading is the point


def test_before_training_everything_is_empty():
    norms = kv.callbacks.GradientNorms()
    assert len(norms.steps) == len(norms.norms) == len(norms.to_numpy()) == 0
    with pytest.raises(ValueError, match="no gradient norms to plot"):
        norms.plot()


def test_a_model_can_be_collected_with_its_callback_alive():
    norms = kv.callbacks.GradientNorms()
    recorder = weakref.ref(train(norms, count=2).gradient_recorder)
    assert norms._recorder is None, "training has ended: nothing more to read"
    assert recorder() is None or not recorder().sinks


# Bad input.


def test_a_stock_model_is_refused():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(
        TypeError, match=r"GradientNorms reads norms that only kv.Model .* Received: keras\S*.Sequential"
    ):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0, callbacks=[kv.callbacks.GradientNorms()])


def test_an_uncompiled_model_is_refused():
    with pytest.raises(ValueError, match=r"not compiled: call compile\(\) first"):
        kv.callbacks.GradientNorms().set_model(kv.Sequential([keras.layers.Dense(1)]))


@pytest.mark.parametrize("max_steps", [0, -1, 2.5, True])
def test_max_steps_must_be_a_positive_integer(max_steps):
    with pytest.raises(
        ValueError, match=rf"`max_steps` must be a positive integer. Received: max_steps={max_steps!r}"
    ):
        kv.callbacks.GradientNorms(max_steps=max_steps)


def test_csv_must_be_a_path():
    with pytest.raises(TypeError, match=r"`csv` must be the path of a file, or None. Received: csv=True"):
        kv.callbacks.GradientNorms(csv=True)


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


def test_the_ring_is_at_least_twice_an_execution():
    recorder = GradientRecorder()
    recorder.build(["a"], steps_per_execution=1000)
    assert recorder._ring.shape == (2000, 5)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    norms = kv.callbacks.GradientNorms()
    train(norms, count=2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-vrnn\[plots\]'"):
        norms.plot()

"""kv.training.windows: contiguous windows of long sequences, states reset exactly where a sequence begins."""

import keras
import numpy as np
import pytest
from tbptt import Oracle
from trainings import RECORDED, weights_of

import keras_vrnn as kv

FEATURES, UNITS, TARGETS, RATE = 3, 4, 2, 0.3


def sequence(time, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(time, FEATURES)), rng.normal(size=(time, TARGETS)).astype("float32")


def stateful_model(rows, layer=kv.VanillaRNN, **compile_args):
    keras.utils.set_random_seed(1)
    model = kv.Sequential(
        [
            keras.Input(batch_shape=(rows, None, FEATURES)),
            layer(UNITS, return_sequences=True, stateful=True),
            keras.layers.Dense(TARGETS),
        ]
    )
    model.compile(keras.optimizers.SGD(RATE), "mse", **{"jit_compile": False, **compile_args})
    return model


def elements(dataset):
    return [tuple(each) for each in dataset.as_numpy_iterator()]


# lengths 7, 3, 5, 4 in windows of 3 steps, dealt out to two rows in turn: (sequence, first step) of each window.
LENGTHS = (7, 3, 5, 4)
PLAN = [[(0, 0), (0, 3), (0, 6), (3, 0), (3, 3)], [(1, 0), (2, 0), (2, 3), None, None]]


def test_sequences_of_different_lengths_are_dealt_to_rows_with_their_starts():
    x, y = zip(*(sequence(length, seed) for seed, length in enumerate(LENGTHS)), strict=True)
    batches = elements(kv.training.windows(list(x), list(y), steps=3, batch_size=2))
    assert len(batches) == 5
    for i, (window, targets, weights) in enumerate(batches):
        for row in (0, 1):
            if PLAN[row][i] is None:
                assert not weights[row].any()
                continue
            which, start = PLAN[row][i]
            length = min(3, LENGTHS[which] - start)
            np.testing.assert_array_equal(
                window.inputs[row, :length], x[which][start : start + 3].astype("float32")
            )
            np.testing.assert_array_equal(targets[row, :length], y[which][start : start + 3])
            assert not window.inputs[row, length:].any()
            assert weights[row].tolist() == [1.0] * length + [0.0] * (3 - length)
            assert window.starts[row] == (start == 0)


@pytest.mark.parametrize("how", [{}, {"steps_per_execution": 2, "jit_compile": True}], ids=str)
def test_fit_equals_a_numpy_tbptt_with_resets(how):
    x, y = zip(*(sequence(length, seed) for seed, length in enumerate(LENGTHS)), strict=True)
    dataset = kv.training.windows(list(x), list(y), steps=3, batch_size=2)
    model = stateful_model(2, **how)
    oracle, losses = Oracle(model.get_weights(), RATE), []
    history = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
    for _ in range(2):
        state = np.zeros((2, UNITS))
        for i in range(5):
            wx, wy, there = np.zeros((2, 3, FEATURES)), np.zeros((2, 3, TARGETS)), np.zeros((2, 3))
            for row, place in enumerate(PLAN[row][i] for row in (0, 1)):
                if place is None:
                    continue
                which, start = place
                length = min(3, LENGTHS[which] - start)
                wx[row, :length], wy[row, :length] = x[which][start : start + 3], y[which][start : start + 3]
                there[row, :length] = 1
                state[row] *= start != 0
            state, loss = oracle.window(wx, wy, state, weight=there)
            losses.append(loss / 6)
    # float32 over ten updates.
    np.testing.assert_allclose(weights_of(model), oracle.flat(), atol=1e-5)
    np.testing.assert_allclose(history["loss"], np.mean(np.reshape(losses, (2, 5)), 1), rtol=RECORDED)


def test_a_long_file_is_read_window_by_window(tmp_path):
    x, y = sequence(64)
    np.save(tmp_path / "x.npy", x)
    file = np.load(tmp_path / "x.npy", mmap_mode="r")
    read = []

    class Watched:
        shape, dtype = file.shape, file.dtype

        def __len__(self):
            return len(file)

        def __getitem__(self, part):
            read.append(part)
            return file[part]

    dataset = kv.training.windows(Watched(), y, steps=8, batch_size=2)
    assert max(part.stop - part.start for part in read) <= 8
    batches = elements(dataset)
    assert len(batches) == int(dataset.cardinality()) == 4
    assert all(len(batch) == 2 for batch in batches), "no step is filled up, no weights are needed"
    inputs = np.concatenate([window.inputs for window, _ in batches], axis=1)
    np.testing.assert_array_equal(inputs, x.reshape(2, 32, FEATURES).astype("float32"))
    assert [window.starts.all() for window, _ in batches] == [True, False, False, False]


@pytest.mark.parametrize("layer", [kv.VanillaRNN, keras.layers.LSTM], ids=["vanilla", "lstm"])
def test_evaluate_and_predict_equal_the_whole_sequence(layer):
    x, y = sequence(24)
    model = stateful_model(1, layer, metrics=["mae"])
    inputs = [keras.Input((None, FEATURES)), layer(UNITS, return_sequences=True)]
    whole = keras.Sequential([*inputs, keras.layers.Dense(TARGETS)])
    whole.set_weights(model.get_weights())
    expected = whole.predict(x[None], verbose=0)
    for _ in range(2):  # the second time, there are states of the first to forget
        outputs = model.predict(kv.training.windows(x, steps=8, batch_size=1), verbose=0)
        np.testing.assert_allclose(np.concatenate(outputs), expected[0], atol=1e-5)
    logs = model.evaluate(kv.training.windows(x, y, steps=8, batch_size=1), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(np.mean((expected[0] - y) ** 2), rel=RECORDED)
    assert logs["mae"] == pytest.approx(np.mean(abs(expected[0] - y)), rel=RECORDED)


def test_weights_follow_their_steps():
    x, y = sequence(10)
    weights = np.arange(10, dtype="float32")
    batches = elements(kv.training.windows(x, y, weights, steps=4, batch_size=1))
    assert np.concatenate([w[0] for _, _, w in batches]).tolist() == [*range(10), 0, 0]


def test_models_without_stateful_layers_are_refused():
    x, y = sequence(8)
    model = kv.Sequential([keras.Input((None, FEATURES)), kv.VanillaRNN(TARGETS, return_sequences=True)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="all recurrent layers must have stateful=True"):
        model.fit(kv.training.windows(x, y, steps=4, batch_size=1), shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer. Received: steps=0"),
        ({"batch_size": 2.5}, r"`batch_size` must be a positive integer. Received: batch_size=2\.5"),
        ({"y": None, "sample_weight": np.ones(8)}, "`sample_weight` needs targets"),
        ({"y": np.ones((7, 2))}, "`y` must have the sequences and time steps of `x`. Received: 3 and 4"),
        (
            {"x": [np.ones((3, 2))], "y": None},
            "batch_size=2 needs at least as many sequences in `x`. Received: 1",
        ),
        ({"x": [np.ones((3, 2)), np.ones((0, 2))], "y": None}, "`x` has an empty sequence, at index 1"),
        ({"x": [np.ones((3, 2)), np.ones((3, 1))], "y": None}, "must have the same shape but for the time"),
        ({"x": [[1, 2], [3, 4]], "y": None}, r"`x` must be an array \(time, …\).*Received: a list of list"),
        ({"x": "text", "y": None}, r"`x` must be an array \(time, …\).*Received: x='text'"),
        ({"x": np.ones((1, 2)), "y": None}, "`x` must have at least batch_size=2 time steps. Received: 1"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"x": np.ones((8, 3)), "y": np.ones((8, 2)), "steps": 4, "batch_size": 2, **change}
    with pytest.raises(ValueError, match=message):
        kv.training.windows(**arguments)

"""Models and data that truncated BPTT refuses."""

import keras
import numpy as np
import pytest
from tbptt import BATCH, FEATURES, data, vanilla_model

import keras_vrnn as kv


def test_weights_of_classes_are_refused():
    """Keras makes one weight per sequence of them, from the class that it takes the time steps for."""
    x, _ = data(9)
    model = vanilla_model(3, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    labels = np.ones((BATCH, 9), int)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=r"`class_weight` .*sample_weight of shape \(batch, time\)"):
            train(x, labels, class_weight={0: 1.0, 1: 2.0})


def sequential(*layers, time=None):
    return kv.Sequential([keras.Input((time, FEATURES)), *layers])


RNN = kv.VanillaRNN
REFUSED = {
    "final target": (lambda: sequential(RNN(3)), "return_sequences=False.*target for every time step"),
    "state": (
        lambda: kv.Model(i := keras.Input((None, 4)), RNN(3, return_sequences=True, return_state=True)(i)),
        "returns its final state",
    ),
    "backwards": (
        lambda: sequential(RNN(3, return_sequences=True, go_backwards=True)),
        "reads .* from its end",
    ),
    "bidirectional": (
        lambda: sequential(kv.Bidirectional(keras.layers.LSTM(3, return_sequences=True))),
        "reads .* from its end",
    ),
    "fixed length": (
        lambda: sequential(RNN(3, return_sequences=True), time=20),
        "fixed length of 20 time steps",
    ),
    "no recurrence": (lambda: sequential(keras.layers.Dense(3)), "no recurrent layer"),
    "recurrence a step": (
        lambda: kv.Sequential([keras.Input((None, 5, 4)), keras.layers.TimeDistributed(keras.layers.GRU(3))]),
        "starts anew at every time step",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_models_without_windows_are_refused_at_compile(case):
    make, message = REFUSED[case]
    model = make()
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", "mse", truncate_steps=4)
    assert not model.compiled


@pytest.mark.parametrize("k", [0, -2, 2.0, True, "4"])
def test_a_window_is_a_positive_number_of_steps(k):
    model = sequential(RNN(3, return_sequences=True))
    with pytest.raises(ValueError, match="`truncate_steps` must be a positive integer"):
        model.compile("sgd", "mse", truncate_steps=k)


def test_data_without_windows_are_refused():
    x, y = data(8)
    model = vanilla_model(4, run_eagerly=True)
    with pytest.raises(ValueError, match=r"with a time axis.*Received: y of shape \(3,\)"):
        model.train_on_batch(x, y[:, 0, 0])
    with pytest.raises(ValueError, match=r"same number of time steps.*x \(3, 8, 4\), y \(3, 2\)"):
        model.train_on_batch(x, y[:, 0])
    pooled = sequential(RNN(3, return_sequences=True), keras.layers.GlobalAveragePooling1D())
    pooled.compile("sgd", "mse", truncate_steps=4, run_eagerly=True)
    with pytest.raises(ValueError, match="output for every time step"):
        pooled.train_on_batch(x, y)
    layer, inputs = keras.layers.GRU(FEATURES, return_sequences=True), keras.Input((None, FEATURES))
    twice = kv.Model(inputs, layer(layer(inputs)))
    twice.compile("sgd", "mse", truncate_steps=4, run_eagerly=True)
    with pytest.raises(ValueError, match=r"calls layer 'gru\w*' more than once"):
        twice.train_on_batch(x, x)


def test_more_updates_than_can_be_recorded_are_refused():
    x, y = data(2049)
    model = vanilla_model(1, run_eagerly=True)
    with pytest.raises(ValueError, match=r"2049 updates of a batch.*only 2048 can be recorded"):
        model.train_on_batch(x, y)

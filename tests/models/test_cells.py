"""Models of each cell."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.models.cells import LAYERS

X = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_cell_in_a_model(cell, bidirectional):
    model = kv.many_to_one([4, 3], 2, cell=cell, features=3, timesteps=5, bidirectional=bidirectional)
    first = model.get_layer("rnn_1")
    assert isinstance(first.forward_layer if bidirectional else first, LAYERS[cell])
    assert model.predict(X, verbose=0).shape == (6, 2)


@pytest.mark.parametrize("cell", ["fast", "gru", "lstm"])
def test_models_train_are_saved_and_are_exported(cell, tmp_path):
    model = kv.many_to_many(4, 2, "regression", cell=cell, features=3, timesteps=5, activation="tanh")
    model.compile("adam", "mse")
    model.fit(X, X[..., :2], epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=X)


def test_one_to_many_of_gates():
    assert kv.one_to_many(4, 2, cell="gru", features=3, timesteps=7).output_shape == (None, 7, 2)


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match=r"`cell` must be one of 'vanilla'.*Received: cell='elman'"):
        kv.many_to_one(4, 2, cell="elman", features=3)

"""Weight files of Keras' SimpleRNN models and of ours, both ways."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="kv.Model trains on TensorFlow; files do not differ"
)
X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
OURS = (kv, kv.VanillaRNN, kv.VanillaRNNCell, kv.Bidirectional)
STOCK = (keras, keras.layers.SimpleRNN, keras.layers.SimpleRNNCell, keras.layers.Bidirectional)


def plain(library, rnn, cell, both):
    return library.Sequential([keras.Input((5, 3)), rnn(4), keras.layers.Dense(2)])


def stacked(library, rnn, cell, both):
    return library.Sequential([keras.Input((5, 3)), rnn(4, return_sequences=True), rnn(4), rnn_of(cell)])


def rnn_of(cell):
    return keras.Sequential([keras.layers.RepeatVector(3), keras.layers.RNN([cell(4), cell(4)])])


def bidirectional(library, rnn, cell, both):
    return library.Sequential([keras.Input((5, 3)), both(rnn(4, return_sequences=True)), both(rnn(4))])


def nested(library, rnn, cell, both):
    inputs = keras.Input((5, 3))
    inner = library.Model(inputs, rnn(4, return_sequences=True)(inputs))
    return library.Model(inputs, [rnn(2)(inner(inputs)), keras.layers.GRU(2)(inner(inputs))])


def predictions(model):
    return np.concatenate(keras.tree.flatten(model.predict(X, verbose=0)), axis=-1)


@pytest.mark.parametrize("build", [plain, stacked, bidirectional, nested])
@pytest.mark.parametrize(("source", "target"), [(STOCK, OURS), (OURS, STOCK), (OURS, OURS)])
def test_weights_move_both_ways(build, source, target, tmp_path):
    path = tmp_path / "model.weights.h5"
    saved, loaded = build(*source), build(*target)
    saved.save_weights(path)
    before = path.read_bytes()
    loaded.load_weights(path)
    np.testing.assert_allclose(predictions(loaded), predictions(saved), atol=1e-6)  # float32
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["model.weights.h5"]


def test_weights_of_a_stock_keras_archive_load_too(tmp_path):
    saved, loaded = stacked(*STOCK), stacked(*OURS)
    saved.save(tmp_path / "model.keras")
    loaded.load_weights(tmp_path / "model.keras")
    np.testing.assert_allclose(predictions(loaded), predictions(saved), atol=1e-6)  # float32


def test_a_model_of_both_classes_is_refused_rather_than_mixed_up(tmp_path):
    """Keras numbers each class by itself: the second SimpleRNN of the file is the first VanillaRNN of the model."""
    layers = [keras.Input((5, 3)), keras.layers.SimpleRNN(3, return_sequences=True), kv.VanillaRNN(3)]
    stock = keras.Sequential(
        [layers[0], *(keras.layers.SimpleRNN(3, return_sequences=k == 0) for k in range(2))]
    )
    stock.save_weights(tmp_path / "stock.weights.h5")
    mixed = kv.Sequential(layers)
    with pytest.raises(ValueError, match="the file holds no weights for this cell"):
        mixed.load_weights(tmp_path / "stock.weights.h5")
    mixed.save_weights(tmp_path / "mixed.weights.h5")
    again = kv.Sequential(
        [keras.Input((5, 3)), keras.layers.SimpleRNN(3, return_sequences=True), kv.VanillaRNN(3)]
    )
    again.load_weights(tmp_path / "mixed.weights.h5")
    np.testing.assert_allclose(predictions(again), predictions(mixed), atol=1e-6)  # float32


def test_a_model_class_of_keras_is_told_what_to_do(tmp_path):
    plain(*STOCK).save_weights(tmp_path / "stock.weights.h5")
    model = keras.Sequential([keras.Input((5, 3)), kv.VanillaRNN(4), keras.layers.Dense(2)])
    with pytest.raises(
        ValueError, match=r"loads into `kv.Model` and `kv.Sequential`; elsewhere use `set_weights"
    ):
        model.load_weights(tmp_path / "stock.weights.h5")


def test_skipped_mismatches_and_missing_files_stay_keras_own(tmp_path):
    other = kv.Sequential([keras.Input((5, 3)), kv.VanillaRNN(7), keras.layers.Dense(2)])
    plain(*STOCK).save_weights(tmp_path / "stock.weights.h5")
    with pytest.warns(UserWarning, match="could not be loaded"):
        other.load_weights(tmp_path / "stock.weights.h5", skip_mismatch=True)
    with pytest.raises(FileNotFoundError, match=r"none\.weights\.h5"):
        other.load_weights(tmp_path / "none.weights.h5")

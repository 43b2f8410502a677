"""Models of each cell."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.models.cells import LAYERS, STACKS

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
    with pytest.raises(ValueError, match=r"`cell` must be one of 'vanilla'.*Received: cell=None"):
        translator(units=4, cell=None)
    with pytest.raises(ValueError, match="`StackedGRU` has no argument `unit_forget_bias`"):
        translator(units=4, cell="gru", unit_forget_bias=True)


TOKENS = np.array([[3, 4, 5], [7, 0, 0], [6, 8, 0]]), np.array([[4, 3, 8], [5, 6, 0], [7, 0, 0]])


def translator(**options):
    keras.utils.set_random_seed(3)
    model = kv.EncoderDecoder(9, 9, embedding=4, **options)
    model.set_weights([w + 0.1 * np.sin(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("cell", STACKS)
def test_an_encoder_decoder_has_the_same_layers_with_every_cell(cell):
    model = translator(cell=cell, units=[5, 4], encoder_units=[3, 2], bidirectional=True)
    assert [layer.name for layer in model.layers if layer.weights] == [
        "source_embedding", "encoder", "target_embedding",
        *(f"bridge_{k}" for k in range(len(model.state_sizes))), "decoder", "logits",
    ]  # fmt: skip
    assert model.state_sizes == ([5, 5, 4, 4] if cell == "lstm" else [5, 4])
    assert type(model.get_layer("decoder").layers[0]) is LAYERS[cell]


def test_a_configuration_without_a_cell_is_of_vanilla_rnns():
    config = translator(units=4).get_config()
    assert config.pop("cell") == "vanilla"
    assert kv.EncoderDecoder.from_config(config).get_config()["cell"] == "vanilla"


@pytest.mark.parametrize("cell", STACKS)
def test_the_final_states_of_each_layer_start_its_counterpart(cell):
    """The same model from separate layers, each with its own call."""
    model = translator(cell=cell, units=[5, 4])
    source, target = TOKENS
    target_in, target_out = model.teacher_forcing(target)
    ends = {}

    def run(side, tokens):
        x = model.get_layer(f"{'source' if side == 'encoder' else 'target'}_embedding")(tokens)
        for layer in model.get_layer(side).layers:
            alone = LAYERS[cell].from_config({**layer.get_config(), "return_sequences": True})
            alone.build(x.shape)
            alone.set_weights(layer.get_weights())
            x, *end = alone(x, mask=keras.ops.not_equal(tokens, 0), initial_state=ends.get(layer.name))
            ends[layer.name] = end
        return x

    run("encoder", source)
    expected = model.get_layer("logits")(run("decoder", target_in))
    received, real = model((source, target_in)), target_out != 0
    np.testing.assert_allclose(
        np.asarray(received)[real],
        np.asarray(expected)[real],
        atol=1e-5,  # float32 rounding of a few steps
    )

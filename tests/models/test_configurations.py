"""many_to_one, many_to_many, one_to_many: equal to the same model by hand, trained, saved, exported, streamed."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv

layers = keras.layers
TIMESTEPS, BATCH = 6, 12
LOSSES = {"classes": "sparse_categorical_crossentropy", "binary": "binary_crossentropy", "regression": "mse"}


def drawn(seed, shape):
    """Random options of a builder."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    options = dict(
        units=pick(5, [5], [6, 4], [4, 5, 3]),
        task=pick("classes", "binary", "regression"),
        activation=pick("tanh", "relu", "sigmoid"),
        dropout=pick(0.0, 0.2),
        timesteps=TIMESTEPS,
        **pick(dict(features=3), dict(vocab_size=9, embedding=4)),
    )
    options["outputs"] = pick(2, 4)
    if shape != "one_to_many":
        options["bidirectional"] = pick(False, True)
        if "features" in options:
            options["mask_value"] = pick(None, 0.0)
    return options


def by_hand(shape, units, outputs, task, timesteps, activation, **options):
    """The same network, layer by layer, written without the builders."""
    units = units if isinstance(units, list) else [units]
    model = keras.Sequential()
    if shape == "one_to_many":
        if "features" in options:
            model.add(keras.Input((options["features"],)))
        else:
            model.add(keras.Input((1,), dtype="int32"))
            model.add(layers.Embedding(options["vocab_size"], options["embedding"]))
            model.add(layers.Reshape((options["embedding"],)))
        model.add(layers.RepeatVector(timesteps))
    elif "features" in options:
        model.add(keras.Input((timesteps, options["features"])))
        if options["mask_value"] is not None:
            model.add(layers.Masking(options["mask_value"]))
    else:
        model.add(keras.Input((timesteps,), dtype="int32"))
        model.add(layers.Embedding(options["vocab_size"], options["embedding"], mask_zero=True))
    for k, size in enumerate(units):
        sequences = shape != "many_to_one" or k < len(units) - 1
        layer = layers.SimpleRNN(size, activation=activation, return_sequences=sequences)
        model.add(layers.Bidirectional(layer) if options.get("bidirectional") else layer)
    last = {"classes": "softmax", "binary": "sigmoid", "regression": "linear"}[task]
    model.add(layers.Dense(outputs, activation=last))
    return model


def inputs_of(shape, options, rows=BATCH):
    rng = np.random.default_rng(1)
    if "vocab_size" in options:
        if shape == "one_to_many":
            return rng.integers(0, 9, (rows, 1)).astype("int32")
        x = rng.integers(1, 9, (rows, TIMESTEPS)).astype("int32")
    elif shape == "one_to_many":
        return rng.normal(size=(rows, 3)).astype("float32")
    else:
        x = rng.normal(size=(rows, TIMESTEPS, 3)).astype("float32")
    if "vocab_size" in options or options["mask_value"] is not None:
        x[np.arange(TIMESTEPS) >= rng.integers(2, TIMESTEPS + 1, (rows, 1))] = 0  # padding
    return x


def targets_of(model, task):
    shape = (BATCH, *model.output_shape[1:])
    rng = np.random.default_rng(2)
    if task == "classes":
        return rng.integers(0, shape[-1], shape[:-1])
    return rng.integers(0, 2, shape).astype("float32")


# Draws of three that, together, cover the options: see test_the_draws_cover_all_options.
FIRST_SEED = {"many_to_one": 25, "many_to_many": 71, "one_to_many": 7}
SHAPES = {"many_to_one": kv.many_to_one, "many_to_many": kv.many_to_many, "one_to_many": kv.one_to_many}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_built_trained_saved_and_exported(shape, seed, tmp_path):
    options = drawn(FIRST_SEED[shape] + seed, shape)
    model, x = SHAPES[shape](**options), inputs_of(shape, options)
    assert isinstance(model, kv.Model)

    other = by_hand(shape, **options)
    other.set_weights(model.get_weights())
    # float32 sums of a few dozen terms, in another order.
    np.testing.assert_allclose(model(x), other(x), atol=1e-5)

    model.compile(keras.optimizers.Adam(0.01), LOSSES[options["task"]], jit_compile=False)
    history = model.fit(x, targets_of(model, options["task"]), epochs=12, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))

    result = kv.tflite.export(model, tmp_path / "model.tflite", calibration_data=x)
    name = "tokens" if "vocab_size" in options else "features"
    assert result.signatures == {"serving_default": {"inputs": [name], "outputs": ["output"]}}
    y = np.asarray(model(x))
    errors = np.abs(kv.tflite.Runner(result.path)(x) - y)
    # Each signal is rounded to about 1/100 of its range; a wrong scale or weight costs ten times as much.
    assert errors.mean() <= 0.03 * max(np.ptp(y), 0.5)
    if shape == "one_to_many" or options["bidirectional"]:
        return
    kv.tflite.export(model, tmp_path / "step.tflite", form="streaming", calibration_data=x)
    steps = kv.tflite.Runner(tmp_path / "step.tflite")(x)
    errors = np.abs((steps if shape == "many_to_many" else steps[:, -1]) - y)
    assert errors.mean() <= 0.03 * max(np.ptp(y), 0.5)


def test_the_draws_cover_all_options():
    for shape, first in FIRST_SEED.items():
        chosen = [drawn(first + k, shape) for k in range(3)]
        assert {"features" in options for options in chosen} == {True, False}
        assert {options["task"] for options in chosen} == set(LOSSES)
        assert len({options["activation"] for options in chosen}) >= 2
        assert any(isinstance(options["units"], list) and len(options["units"]) > 1 for options in chosen)
        if shape != "one_to_many":
            assert {options["bidirectional"] for options in chosen} == {True, False}
            assert any(options.get("mask_value") is not None for options in chosen)


def test_names_do_not_depend_on_other_models():
    for _ in range(2):
        model = kv.many_to_many([4, 3], 2, vocab_size=9, timesteps=5, dropout=0.1)
        names = ["tokens", "embedding", "rnn_1", "dropout_1", "rnn_2", "dropout_2", "output"]
        assert [layer.name for layer in model.layers if layer.name != "not_equal"] == names
        assert model.output_names == ["output"]


def test_options_reach_every_layer_and_initializers_are_not_shared():
    start = kv.initializers.ScaledIdentity(noise=0.1)
    model = kv.many_to_one([4, 4], 2, features=4, use_bias=False, recurrent_initializer=start)
    one, two = (model.get_layer(f"rnn_{k}") for k in (1, 2))
    assert one.cell.bias is None
    assert two.cell.bias is None
    assert np.abs(one.get_weights()[1] - two.get_weights()[1]).max() > 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: kv.many_to_one(4, 2), "Give either `features` .* Received: features=None, vocab_size=None"),
        (lambda: kv.many_to_many(4, 2, features=3, vocab_size=9), "Received: features=3, vocab_size=9"),
        (lambda: kv.many_to_one(4, 2, features=0), "`features` must be a positive integer"),
        (
            lambda: kv.many_to_one(4, 2, vocab_size=9, mask_value=0.0),
            "`mask_value` must be None for token ids",
        ),
        (lambda: kv.many_to_one(4, features=3), "`outputs` must be at least 2 with task='classes'"),
        (lambda: kv.many_to_one(4, 2, "class", features=3), "`task` must be one of 'classes', 'binary'"),
        (lambda: kv.many_to_one([], 2, features=3), "`units` must be a positive integer, or a list"),
        (lambda: kv.many_to_many([4, -1], 2, features=3), "`units` must be a positive integer"),
        (lambda: kv.many_to_many(4, 2, features=3, timesteps=0), "`timesteps` must be a positive integer"),
        (
            lambda: kv.many_to_many(4, 2, features=3, bidirectional="no"),
            "`bidirectional` must be True or False",
        ),
        (lambda: kv.many_to_one(4, 2, features=3, dropout=2), r"`dropout` must be a number in \[0, 1\]"),
        (lambda: kv.one_to_many(4, 2, features=3, timesteps=None), "`timesteps` must be a positive integer"),
        (lambda: kv.one_to_many(4, 2, timesteps=3), "Give either `features`"),
        (lambda: kv.many_to_one(4, 2, features=3, activation="none such"), "`activation` must be"),
    ],
)
def test_wrong_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()

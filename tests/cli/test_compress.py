"""`keras-vrnn compress`: the table, the file that is written, and refusals before any work."""

import json

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_vrnn as kv
from keras_vrnn import compression
from keras_vrnn.cli.status import DONE, MISSED
from keras_vrnn.compression.pruning import sparsities

RNG = np.random.default_rng(2)
QUICK = ["--epochs", "2", "--batch-size", "8"]


def built(model):
    # Keras warns of files with fewer variables of the optimizer than the model has.
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def models(folder):
    """A classifier compiled with this package's settings, a model without a loss, and one of two inputs."""
    keras.utils.set_random_seed(1)
    x = RNG.normal(size=(40, 6, 3)).astype("float32")
    labels = (x[:, -1, 0] > 0).astype(int)
    model = kv.Sequential([keras.Input((6, 3)), kv.VanillaRNN(8, name="rnn"), kl.Dense(2, "softmax")])
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 100, 0.9)
    options = {"metrics": ["accuracy"], "clipnorm": 1.0, "jit_compile": False}
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", **options)
    built(model).save(folder / "classifier.keras")
    keras.Sequential([keras.Input((6, 3)), kl.GRU(4), kl.Dense(1)]).save(folder / "gru.keras")
    first, second = keras.Input((6, 3), name="first"), keras.Input((2,), name="second")
    h = kl.Concatenate()([kv.VanillaRNN(4)(first), second])
    two = kv.Model([first, second], kl.Dense(1)(h))
    two.compile("sgd", "mse", jit_compile=False)
    built(two).save(folder / "two.keras")
    both = keras.Model(first, [kl.Dense(1)(h := kl.SimpleRNN(4)(first)), kl.Dense(1)(h)])
    both.compile("sgd", "mse")
    built(both).save(folder / "outputs.keras")
    np.savez(folder / "train.npz", x=x, y=labels)
    np.savez(folder / "two.npz", second=x[:, 0, :2], first=x, y=labels[:, None].astype("float32"))
    np.savez(folder / "uneven.npz", x=x, y=labels[:-1])
    np.savez(folder / "labels_7.npz", x=x, y=labels + 6)
    np.savez(folder / "wide.npz", x=x[:, :, :2], y=labels)
    return folder


def test_units_and_weights_go_and_the_file_keeps_its_zeros(main, models, capsys):
    arguments = [
        "classifier.keras",
        "small.keras",
        "--data",
        "train.npz",
        "--keep-units",
        "0.5",
        "--sparsity",
        "0.75",
    ]
    assert main(["compress", *arguments, *QUICK, "--json"]) == DONE
    before, units, zeros = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in (before, units, zeros)] == [
        "classifier.keras",
        "0.5 of the units",
        "0.75 zeros",
    ]
    assert set(before["measures"]) == {"loss", "accuracy"}
    # 3·8 + 8·8 + 8 + 8·2 + 2, and with half of the units.
    assert (before["weights"], units["weights"], zeros["weights"]) == (114, 42, 42)
    assert before["zipped"] > units["zipped"] > zeros["zipped"]
    small = keras.models.load_model(models / "small.keras")
    assert zeros["nonzero"] == sum(np.count_nonzero(value) for value in small.get_weights())
    assert set(sparsities(small).values()) == {0.75}
    assert isinstance(small, kv.Sequential)
    assert small.gradient_settings.clipnorm == 1.0
    data = np.load(models / "train.npz")
    assert small.evaluate(data["x"], data["y"], verbose=0)[0] == pytest.approx(zeros["measures"]["loss"])
    small.fit(data["x"], data["y"], verbose=0)
    assert set(sparsities(small).values()) == {0.75}


def test_the_table_is_measured_on_the_validation_data(main, models, capsys):
    data = np.load(models / "train.npz")
    np.savez(models / "held_out.npz", x=data["x"][:5], y=data["y"][:5])
    arguments = ["classifier.keras", "held.keras", "--data", "train.npz", "--validation", "held_out.npz"]
    assert main(["compress", *arguments, "--sparsity", "0.5", *QUICK]) == DONE
    head, before, after = capsys.readouterr().out.splitlines()
    assert head.split() == ["loss", "accuracy", "non-zero", "weights", "zipped", "bytes"]
    model = keras.models.load_model(models / "classifier.keras")
    loss, accuracy = model.evaluate(data["x"][:5], data["y"][:5], verbose=0)
    assert before.split()[:3] == ["classifier.keras", f"{loss:.4f}", f"{accuracy:.4f}"]
    assert after.startswith("0.5 zeros")


def test_the_same_seed_writes_the_same_weights(main, models):
    arguments = [
        "classifier.keras",
        "seed.keras",
        "--data",
        "train.npz",
        "--sparsity",
        "0.5",
        *QUICK,
        "--overwrite",
    ]
    results = []
    for seed in ("3", "3", "4"):
        assert main(["compress", *arguments, "--seed", seed]) == DONE
        results.append(
            np.concatenate([w.ravel() for w in keras.models.load_model(models / "seed.keras").get_weights()])
        )
    np.testing.assert_array_equal(results[0], results[1])
    assert np.any(results[0] != results[2])


def test_a_model_without_a_loss_needs_one(main, refused, models, capsys):
    arguments = [
        "compress",
        "gru.keras",
        "gru_small.keras",
        "--data",
        "train.npz",
        "--sparsity",
        "0.5",
        *QUICK,
    ]
    assert "`--loss` must be given" in refused(arguments)
    assert (
        main([*arguments, "--loss", "mse", "--metrics", "mae", "accuracy", "--learning-rate", "0.01"]) == DONE
    )
    assert capsys.readouterr().out.split()[:3] == ["loss", "accuracy", "mae"]
    small = keras.models.load_model(models / "gru_small.keras")
    assert float(small.optimizer.learning_rate) == pytest.approx(0.01)
    assert set(sparsities(small).values()) == {0.5}


def test_inputs_by_name(main, models, capsys):
    arguments = [
        "two.keras",
        "two_small.keras",
        "--data",
        "two.npz",
        "--keep-units",
        "0.5",
        "--sparsity",
        "0.5",
    ]
    assert main(["compress", *arguments, *QUICK, "--max-loss", "0"]) == MISSED
    assert "compress: loss" in capsys.readouterr().err
    assert keras.models.load_model(models / "two_small.keras").layers[1].units == 2


def test_pruned_models_can_be_compressed_again(main, models):
    common = ["--data", "train.npz", *QUICK, "--overwrite"]
    assert main(["compress", "classifier.keras", "again.keras", "--sparsity", "0.5", *common]) == DONE
    assert main(["compress", "again.keras", "again.keras", "--keep-units", "0.5", *common]) == DONE
    small = keras.models.load_model(models / "again.keras")
    assert small.get_layer("rnn").units == 4
    assert min(sparsities(small).values()) > 0.2


@pytest.mark.parametrize(
    ("options", "scheme"),
    [
        (["int8", "--weight-bits", "4"], "int8x4"),
        pytest.param(["int16x8"], "int16x8", marks=pytest.mark.slow),
    ],
)
def test_integers_keep_the_zeros_and_export_without_data(main, models, options, scheme, capsys):
    name = f"{scheme}.keras"
    arguments = ["classifier.keras", name, "--data", "train.npz", "--sparsity", "0.75"]
    assert main(["compress", *arguments, "--quantization", *options, *QUICK, "--json"]) == DONE
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows[1:]] == [
        "0.75 zeros",
        f"{options[0]}, {4 if scheme == 'int8x4' else 8}-bit weights",
    ]
    trained = keras.models.load_model(models / name)
    assert trained.get_layer("rnn").scheme == scheme
    assert set(sparsities(trained).values()) == {0.75}
    assert main(["export", name, f"{scheme}.tflite"]) == DONE
    x = np.load(models / "train.npz")["x"]
    # The model computes softmax in float32 and the file from tables: one step of 1/256.
    np.testing.assert_allclose(
        kv.tflite.simulate(models / f"{scheme}.tflite", x), trained.predict(x, verbose=0), atol=1 / 256
    )


TRAIN = ["n.keras", "--data", "train.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["classifier.keras", "m.keras", "--data", "train.npz", "--sparsity", "0.5"],
            "Pass --overwrite to replace it",
        ),
        (
            ["classifier.keras", "n.h5", "--data", "train.npz", "--sparsity", "0.5"],
            "`smaller` must end in .keras",
        ),
        (
            ["classifier.keras", "missing/n.keras", "--data", "train.npz"],
            "the folder 'missing' does not exist",
        ),
        (["classifier.keras", *TRAIN], "`--keep-units`, `--sparsity` or `--quantization` must be given"),
        (
            ["classifier.keras", *TRAIN, "--weight-bits", "4", "--sparsity", "0.5"],
            "`--weight-bits` must be given with",
        ),
        (
            ["classifier.keras", *TRAIN, "--weight-bits", "4", "--quantization", "int16x8"],
            "`--weight-bits` must be 8",
        ),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "1"],
            "`--sparsity` must be in (0, 1). Received: --sparsity 1.0",
        ),
        (["classifier.keras", *TRAIN, "--keep-units", "1.5"], "`--keep-units` must be in (0, 1]"),
        (["classifier.keras", *TRAIN, "--sparsity", "nan"], "`--sparsity` must be in"),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--epochs", "0"],
            "`--epochs` must be a positive integer",
        ),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--batch-size", "0"],
            "`--batch-size` must be a positive",
        ),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--learning-rate", "-1"],
            "`--learning-rate` must be",
        ),
        (["classifier.keras", *TRAIN, "--sparsity", "0.5", "--seed", "-1"], "`--seed` must be"),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--epochs", "1", "--batch-size", "40"],
            "`--epochs` must give at least 2 updates",
        ),
        (["none.keras", *TRAIN, "--sparsity", "0.5"], "model='none.keras'"),
        (["classifier.keras", "n.keras", "--data", "none.npz", "--sparsity", "0.5"], "--data 'none.npz'"),
        (["classifier.keras", "n.keras", "--data", "x.npy", "--sparsity", "0.5"], "targets as y"),
        (["classifier.keras", "n.keras", "--data", "uneven.npz", "--sparsity", "0.5"], "with 39, 40 samples"),
        (
            ["classifier.keras", *TRAIN, "--validation", "x.npy", "--sparsity", "0.5"],
            "`--validation` must be an .npz",
        ),
        (["two.keras", *TRAIN, "--sparsity", "0.5"], "input"),
        (["two.keras", "n.keras", "--data", "data.npz", "--sparsity", "0.5"], "inputs 'first', 'second'"),
        (
            ["classifier.keras", "n.keras", "--data", "labels_7.npz", "--sparsity", "0.5"],
            "`--data` must fit the model",
        ),
        (
            ["classifier.keras", "n.keras", "--data", "wide.npz", "--sparsity", "0.5"],
            "`--data` must fit the model",
        ),
        (
            ["classifier.keras", *TRAIN, "--validation", "wide.npz", "--sparsity", "0.5"],
            "`--validation` must fit the model",
        ),
        (["outputs.keras", *TRAIN, "--sparsity", "0.5"], "`model` must have one output"),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--loss", "nonsense"],
            "`--loss` must be the name",
        ),
        (
            ["classifier.keras", *TRAIN, "--sparsity", "0.5", "--metrics", "nonsense"],
            "`--metrics` must be the name",
        ),
    ],
)
def test_bad_input_is_one_line_and_no_file(arguments, message, refused, models):
    assert message in refused(["compress", *arguments])


def test_accumulated_gradients_make_fewer_updates(main, models):
    """A schedule that counted batches would end far from its sparsity."""
    model = keras.models.load_model(models / "classifier.keras")
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=4)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    built(model).save(models / "accumulating.keras")
    arguments = ["accumulating.keras", "accumulated.keras", "--data", "train.npz", "--sparsity", "0.75"]
    assert main(["compress", *arguments, "--epochs", "4", "--batch-size", "8"]) == DONE
    assert set(sparsities(keras.models.load_model(models / "accumulated.keras")).values()) == {0.75}


def test_a_sparsity_that_training_did_not_reach_writes_nothing(refused, models, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", lambda *arguments, **options: None)
    arguments = ["compress", "gru.keras", *TRAIN, "--sparsity", "0.5", "--loss", "mse", *QUICK]
    assert "`--epochs` must give more updates: 0 of `" in refused(arguments)


def test_a_training_that_diverges_writes_nothing(refused, models):
    arguments = ["compress", "gru.keras", *TRAIN, "--sparsity", "0.5", "--loss", "mse", *QUICK]
    assert "`--learning-rate` must be lower" in refused([*arguments, "--learning-rate", "1e30"])


def test_a_model_whose_graph_cannot_be_rebuilt_is_refused(refused, folder, models):
    kv.EncoderDecoder(9, 9, units=4, source_length=5, target_length=4).save(folder / "decoder.keras")
    tokens = RNG.integers(3, 9, (16, 5))
    start = np.concatenate([np.ones((16, 1), int), tokens[:, :3]], axis=1)
    end = np.concatenate([tokens[:, :3], np.full((16, 1), 2)], axis=1)
    np.savez(folder / "tokens.npz", source=tokens, target_in=start, y=end)
    arguments = ["compress", "decoder.keras", "n.keras", "--data", "tokens.npz", *QUICK]
    assert "EncoderDecoder" in refused(
        [*arguments, "--loss", "sparse_categorical_crossentropy", "--keep-units", "0.5"]
    )


def test_without_tfmot_the_error_is_one_line(refused, models, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    monkeypatch.delitem(
        vars(compression), "PolynomialDecay", raising=False
    )  # kept there from an earlier test
    message = refused(["compress", "classifier.keras", *TRAIN, "--sparsity", "0.5", *QUICK])
    assert "pip install 'keras-vrnn[compression]'" in message

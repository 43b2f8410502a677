"""`keras-vrnn diagnose` on files, through the parser of the command line."""

import argparse
import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_vrnn as kv
from keras_vrnn.cli import diagnose


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnose")
    keras.utils.set_random_seed(1)
    fading = kv.VanillaRNN(
        5, activation="linear", recurrent_initializer=keras.initializers.Orthogonal(gain=0.5), name="fading"
    )
    model = keras.Sequential([keras.Input((40, 3)), layers.Masking(), fading, layers.Dense(1)])
    model.compile("sgd", "mse")
    model.save(folder / "m.keras")
    gated = keras.Sequential([keras.Input((40, 3)), layers.GRU(4), layers.Dense(1)])
    gated.save(folder / "gru.keras")
    x = np.random.default_rng(1).normal(size=(50, 40, 3)).astype("float32")
    np.savez(folder / "data.npz", x=x, y=np.ones((50, 1), "float32"))
    np.savez(folder / "wrong.npz", x=x[:, :, :2], y=np.ones((50, 1), "float32"))
    np.save(folder / "x.npy", x)
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)

    def run(*arguments):
        parser = argparse.ArgumentParser()
        diagnose.add_parser(parser.add_subparsers(dest="command"))
        options = parser.parse_args(["diagnose", *arguments])
        return options.run(options)

    return run


def test_flow_and_spectrum(run, capsys):
    assert run("m.keras", "--data", "data.npz") == 0
    printed = capsys.readouterr().out
    # 0.5^7 < 1 % < 0.5^6
    assert "vanishing: the gradient falls to 1 % within 7 of 40 steps" in printed
    assert "fading: 5 units" in printed
    assert "spectral radius 0.5000" in printed
    assert "Lyapunov exponent: -0.6931" in printed, "ln 0.5"


def test_json(run, capsys):
    assert run("m.keras", "--data", "data.npz", "--json", "--sequences", "4") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flow"]["sequences"] == 4
    assert found["flow"]["horizon"] == 7
    assert found["spectra"][0]["bound"] == pytest.approx(0.5)  # float32 weights


def test_without_targets_the_kernels_remain(run, capsys):
    assert run("m.keras", "--data", "x.npy", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flow"] is None
    assert found["spectra"][0]["lyapunov"] == pytest.approx(np.log(0.5))
    assert run("m.keras") == 0
    assert "singular values 0.5000 to 0.5" in capsys.readouterr().out


def test_a_gated_model_has_a_flow_alone(run, capsys):
    assert run("gru.keras", "--data", "data.npz", "--loss", "mse", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["flow"]["layers"][0]["steps"] == 40
    assert found["spectra"] == []


def test_bar_and_picture(run, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    picture = str(tmp_path / "flow.png")
    data = ("m.keras", "--data", "data.npz", "--sequences", "2", "--plot", picture)
    assert run(*data, "--min-horizon", "7") == 0
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")
    assert run(*data, "--overwrite", "--min-horizon", "8") == 1
    assert "horizon 7 is below 8" in capsys.readouterr().err
    with pytest.raises(FileExistsError, match="exists"):
        run(*data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.keras"], "Received: model='none.keras'"),
        (["x.npy"], "which can't be loaded"),
        (["m.keras", "--data", "none.npz"], "Received: data='none.npz'"),
        (["m.keras", "--data", "wrong.npz"], "incompatible|features|shape"),
        (["m.keras", "--data", "data.npz", "--sequences", "0"], "`sequences` must be 1 or more"),
        (
            ["m.keras", "--data", "data.npz", "--plot", "flow.gif2"],
            "`path` must end in the format of the picture",
        ),
        (["m.keras", "--data", "x.npy", "--plot", "flow.png"], "`plot` needs the gradient flow"),
        (["m.keras", "--min-horizon", "3"], "`min-horizon` needs the gradient flow"),
        (["gru.keras", "--data", "data.npz"], "is not compiled with a loss"),
        (["gru.keras", "--data", "x.npy"], "`model` must have a vanilla RNN"),
        (["gru.keras"], "`model` must have a vanilla RNN"),
    ],
)
def test_bad_input_is_an_error_and_no_file(run, folder, arguments, message):
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises((ValueError, OSError), match=message):
        run(*arguments)
    assert sorted(path.name for path in folder.iterdir()) == before

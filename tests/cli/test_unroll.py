"""`keras-vrnn unroll`: a page from files."""

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import cli


@pytest.fixture
def folder(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 8, 3)).astype("float32")
    model = keras.Sequential([keras.Input((8, 3)), kv.VanillaRNN(4), keras.layers.Dense(1)], name="net")
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=x[:, 0, :1])
    return tmp_path


def test_a_page(folder, capsys):
    arguments = [
        "unroll",
        str(folder / "model.keras"),
        "--data",
        str(folder / "data.npz"),
        "--loss",
        "mse",
        "--sequence",
        "5",
    ]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{folder / 'model.html'}\n"
    page = (folder / "model.html").read_text(encoding="utf-8")
    assert "net, sequence 5, unrolled in time" in page
    assert '"gradient":[' in page
    assert cli.main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.main([*arguments[:-1], "6", "--overwrite"]) == 2
    assert "`--sequence` must be the index of one of the 6 sequences" in capsys.readouterr().err

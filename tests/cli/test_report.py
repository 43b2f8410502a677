"""`keras-vrnn report`: one page from the files of a training."""

import re

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn import cli

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    x = np.random.default_rng(0).normal(size=(40, 8, 3)).astype("float32")
    y = (x[:, :, 0].sum(axis=1) > 0).astype("int32")
    model = kv.many_to_one(6, 2, features=3, timesteps=8)
    model.compile("adam", "sparse_categorical_crossentropy", global_clipnorm=0.1, jit_compile=False)
    logs = [
        keras.callbacks.CSVLogger(str(folder / "epochs.csv")),
        kv.callbacks.GradientNorms(csv=folder / "norms.csv"),
    ]
    model.fit(x, y, epochs=2, verbose=0, callbacks=logs)
    model.save(folder / "model.keras")
    kv.tflite.export(model, folder / "model.tflite", calibration_data=x)
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "notes.csv").write_text("who,what\nme,tried\n")
    return folder


def test_a_page_has_every_part_and_needs_no_other_file(training, capsys):
    arguments = ["report", str(training), "--data", str(training / "data.npz"), "--sequences", "16"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{training / 'report.html'}\n"
    page = (training / "report.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == [
        "Epochs (epochs.csv)",
        "Gradient norms (norms.csv)",
        "How far back the gradient reaches",
        "Recurrent kernel of rnn_1",
        "model.tflite",
    ]
    assert "100% of the steps clipped, 0 skipped" in page
    assert page.count("<img ") == 5
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert cli.main(arguments) == 2
    assert "Pass --overwrite to replace it" in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused(tmp_path, training, capsys):
    assert cli.main(["report", str(tmp_path), "--data", str(training / "data.npz")]) == 2
    assert "must be a folder with one .keras file" in capsys.readouterr().err

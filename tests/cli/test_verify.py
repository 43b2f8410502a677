"""`keras-vrnn verify`: measures, thresholds, models with and without input names."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.cli.status import MISSED, REFUSED
from keras_vrnn.tflite.micro import interpreter as micro

VERIFY = ["verify", "m.keras", "good.tflite", "--data"]


def test_export_and_verify(run):
    result = run("export", "m.keras", "m.tflite", "--calibration-data", "x.npy", "--overwrite")
    assert result.returncode == 0, result.stderr
    assert "int8" in result.stdout
    result = run("verify", "m.keras", "m.tflite", "--data", "data.npz", "--json", "--min-agreement", "0.5")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["samples"] == 20
    assert 0 <= report["accuracy_tflite"] <= 1


def test_a_model_without_input_names_exported_before_it_was_saved(main, folder, capsys):
    """Keras calls the input keras_tensor in memory and input_layer in the file."""
    inputs = [keras.Input((6, 3)), keras.Input((6, 2))]
    model = keras.Model(inputs, [kv.VanillaRNN(4)(i) for i in inputs])
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(20, *i.shape[1:])).astype("float32") for i in inputs]
    kv.tflite.export(model, folder / "unnamed.tflite", quantization="float32", overwrite=True)
    model.save(folder / "unnamed.keras")
    loaded = keras.models.load_model(folder / "unnamed.keras")
    names = [tensor.name for tensor in loaded.inputs]
    assert names != kv.tflite.Runner(folder / "unnamed.tflite").inputs
    np.savez(folder / "unnamed.npz", **dict(zip(names, x, strict=True)))
    command = ["verify", "unnamed.keras", "unnamed.tflite", "--data", "unnamed.npz"]
    # float32 rounding over six steps.
    assert main([*command, "--max-error", "1e-5"]) == 0, capsys.readouterr().err


def test_measures_go_into_the_card(main, folder, capsys):
    (folder / "described.tflite").write_bytes((folder / "good.tflite").read_bytes())
    assert main(["verify", "m.keras", "described.tflite", "--data", "data.npz", "--describe", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    figures = kv.tflite.Runner(folder / "described.tflite").card.figures
    assert figures["accuracy_tflite"] == pytest.approx(report["accuracy_tflite"], rel=1e-5)  # six digits
    assert set(figures) == {
        "samples",
        "max_error",
        "mean_error",
        "agreement",
        "accuracy_keras",
        "accuracy_tflite",
    }


def test_real_targets(main, folder, capsys):
    x = np.load(folder / "x.npy")
    model = keras.Sequential([keras.Input((6, 3), name="x"), kv.VanillaRNN(4), keras.layers.Dense(1)])
    model.save(folder / "regression.keras")
    kv.tflite.export(model, folder / "regression.tflite", quantization="float32", overwrite=True)
    targets = np.linspace(-1, 1, 20)
    np.savez(folder / "targets.npz", x=x, y=targets)
    command = ["verify", "regression.keras", "regression.tflite", "--data", "targets.npz"]
    assert main([*command, "--json", "--max-mae", "100", "--max-rmse", "100"]) == 0
    report = json.loads(capsys.readouterr().out)
    error = model.predict(x, verbose=0)[:, 0] - targets
    assert report["mae_keras"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert report["rmse_tflite"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    assert main([*command, "--max-mae", "0"]) == MISSED
    assert main([*command, "--max-rmse", "0"]) == MISSED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.keras", "none.tflite", "--data", "x.npy"], "path='none.tflite'"),
        (["m.keras", "text.txt", "--data", "x.npy"], "must be a TFLite model. Received: path='text.txt'"),
        (["m.keras", "cut.tflite", "--data", "x.npy"], "path='cut.tflite', which is"),
        (["cut.keras", "good.tflite", "--data", "x.npy"], "model='cut.keras', which can't be loaded"),
        (["m.keras", "good.tflite", "--data", "wide.npy"], "(samples, 6, 3)"),
        (["m.keras", "good.tflite", "--data", "cut.npz"], "`--data` must be a NumPy file"),
        (["m.keras", "good.tflite", "--data", "m.keras"], "it is an archive of other files"),
    ],
)
def test_bad_input_is_one_line(arguments, message, refused):
    assert message in refused(["verify", *arguments])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["x.npy", "--max-error", "0"], "max_error "),
        (["x.npy", "--max-mean-error", "0"], "mean_error "),
        (["x.npy", "--min-agreement", "1.1"], "agreement "),
        (["data.npz", "--min-accuracy", "1.1"], "accuracy "),
        (["x.npy", "--micro", "--max-error", "0"], "max_error in TFLite Micro "),
    ],
)
def test_missed_thresholds_give_status_1(arguments, name, main, capsys):
    assert main([*VERIFY, *arguments]) == MISSED
    assert f"keras-vrnn verify: {name}" in capsys.readouterr().err


@pytest.mark.parametrize("installed", [True, False])
def test_micro_tells_where_litert_differs(installed, main, capsys, monkeypatch):
    if installed and not micro.is_installed():
        pytest.skip("needs the extra 'micro'")
    monkeypatch.setattr(micro, "is_installed", lambda: installed)
    assert main([*VERIFY, "x.npy", "--micro"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (name,) = kv.tflite.Runner("good.tflite").outputs
    (line,) = [line for line in lines if line.startswith(f"LiteRT against TFLite Micro, {name}: ")]
    assert main([*VERIFY, "x.npy", "--micro", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = report["kernels"][name]
    assert found["values"] == 60
    assert f"{found['share']:.2%} of 60 values differ" in line or not found["different"]
    assert ("not installed" in report["micro_note"]) == (not installed)


def test_thresholds_that_are_met_or_make_no_sense(main, capsys):
    assert main([*VERIFY, "x.npy", "--min-agreement", "0", "--max-error", "1"]) == 0
    capsys.readouterr()
    assert main([*VERIFY, "x.npy", "--min-accuracy", "0.5"]) == REFUSED  # without labels
    assert "accuracy: not available for this file" in capsys.readouterr().err


def test_picture(main, folder, capsys):
    (folder / "errors.svg").unlink(missing_ok=True)
    command = [*VERIFY, "x.npy", "--plot", "errors.svg"]
    assert main(command) == 0
    assert "<svg" in (folder / "errors.svg").read_text()
    assert main(command) == REFUSED
    assert "'errors.svg', which exists" in capsys.readouterr().err

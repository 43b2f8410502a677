"""`keras-vrnn export`: options, refusals before any work, and all files or none."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.micro import interpreter as micro


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.keras", "text.txt", "--calibration-data", "x.npy"], "'text.txt', which exists"),
        (["m.keras", "missing/n.tflite"], "the folder 'missing' does not exist"),
        (["m.keras", "/proc/n.tflite"], "can't write into the folder '/proc'"),
        (["m.keras", "/dev/null", "--overwrite"], "must be a regular file"),
        (["none.keras", "n.tflite"], "must be a file that exists. Received: model='none.keras'"),
        (["text.txt", "n.tflite"], "model='text.txt', which can't be loaded"),
        (["m.keras", "n.tflite"], "must be given with"),
        (["m.keras", "n.tflite", "--quantization", "int3"], "--quantization 'int3'"),
        (
            ["m.keras", "n.tflite", "--calibration-data", "text.txt"],
            "`--calibration-data` must be a NumPy file",
        ),
        (["m.keras", "n.tflite", "--calibration-data", "none.npy"], "--calibration-data 'none.npy'"),
        (["m.keras", "n.tflite", "--calibration-data", "labels.npz"], "without an input"),
        (
            ["m.keras", "n.tflite", "--calibration-data", "cut.npz"],
            "`--calibration-data` must be a NumPy file",
        ),
        (["m.keras", "n.tflite", "--calibration-data", "wide.npy"], "(samples, 6, 3)"),
        (["m.keras", "n.tflite", "--io", "int3", "--calibration-data", "x.npy"], "--io 'int3'"),
        (["m.keras", "n.tflite", "--calibration", "mean"], "--calibration 'mean'"),
        (["cut.keras", "n.tflite"], "model='cut.keras', which can't be loaded"),
        (["m.keras"], "`tflite` must be the .tflite file to write"),
        (["good.tflite"], "keras-vrnn export model.tflite --c FOLDER"),
        (["good.tflite", "--c", "c", "--package", "mbed"], "`--package` must be 'cmake'"),
        (["good.tflite", "--c-array", "c", "--package", "cmake"], "`--package` must be given with --c"),
        (["good.tflite", "--c", "text.txt"], "`--c` must be in a folder"),
        (["cut.tflite", "--c-array", "c"], "path='cut.tflite', which is"),
        (["good.tflite", "--c-array", "text.txt"], "`--c-array` must be in a folder"),
        (["good.tflite", "--c-array", "c", "--arena", "0"], "`--arena` must be a positive integer"),
    ],
)
def test_bad_input_is_one_line_and_no_file(arguments, message, refused):
    assert message in refused(["export", *arguments])


BOTH = ["export", "m.keras", "n.tflite", "--calibration-data", "x.npy", "--c-array"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*BOTH, "c", "--name", "1x"], "`--name` must be a C++ identifier"),
        ([*BOTH, "c", "--name", "class"], "`--name` must be a C++ identifier"),
        (
            [*BOTH, "c", "--quantization", "float16"],
            "`--quantization` must be int8, int8x4, int16x8 or float32",
        ),
        (
            [*BOTH, "c", "--quantization", "dynamic"],
            "`--quantization` must be int8, int8x4, int16x8 or float32",
        ),
        ([*BOTH, "text.txt"], "`--c-array` must be in a folder"),
        ([*BOTH, "/proc/c"], "can't write into the folder '/proc'"),
    ],
)
def test_nothing_is_written_where_the_sources_cannot_be(arguments, message, refused, monkeypatch):
    monkeypatch.setattr(kv.tflite, "export", lambda *a, **k: pytest.fail("the export has begun"))
    assert message in refused(arguments)


def test_sources_without_the_extra_leave_nothing(refused, monkeypatch):
    monkeypatch.setattr(micro, "is_installed", lambda: False)
    assert "pip install 'keras-vrnn[micro]'" in refused([*BOTH, "c"])


def test_a_model_that_only_tflite_micro_refuses_leaves_nothing(refused, folder):
    """It has an operator for which TFLite Micro has no kernel, which shows after the export only."""
    inputs = keras.Input((6, 3), name="motion")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.sign(kv.VanillaRNN(4)(inputs))))
    model.save(folder / "sign.keras")
    arguments = ["export", "sign.keras", "n.tflite", "--quantization", "float32", "--c-array", "c"]
    assert "SIGN: TFLite Micro has no such operator" in refused(arguments)


def test_every_option_of_export_reaches_it(main):
    options = ["--form", "streaming", "--quantization", "int16x8", "--io", "float32", "--state", "internal"]
    options += [
        "--batch-size",
        "2",
        "--calibration",
        "percentile",
        "--calibration-data",
        "x.npy",
        "--overwrite",
    ]
    assert main(["export", "m.keras", "all.tflite", *options]) == 0
    runner = kv.tflite.Runner("all.tflite")
    assert (runner.streaming, runner.batch, runner.state) == (True, 2, {})
    assert runner.details["motion"]["dtype"] == np.float32


def test_sources_with_and_without_conversion(main, folder, capsys):
    both = [
        "export",
        "m.keras",
        "c.tflite",
        "--form",
        "streaming",
        "--calibration-data",
        "x.npy",
        "--overwrite",
    ]
    assert main([*both, "--c-array", "sources"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("c.tflite: ")
    assert printed[-4:] == [f"sources/model{end}" for end in ("_data.h", "_data.cc", "_tensors.h", "_ops.h")]
    assert (folder / "c.tflite").exists()
    assert "from c.tflite." in (folder / "sources" / "model_data.cc").read_text()
    assert main(["export", "c.tflite", "--c-array", "other", "--name", "motion", "--arena", "4096"]) == 0
    assert "kArenaSize = 4096" in (folder / "other" / "motion_tensors.h").read_text()
    assert main(["export", "c.tflite", "--c-array", "other", "--name", "motion"]) == 2


def test_c_sources_with_and_without_conversion(main, folder, capsys):
    both = ["export", "m.keras", "d.tflite", "--form", "streaming", "--calibration-data", "x.npy"]
    assert main([*both, "--c", "plain"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["plain/model.h", "plain/model.c"]
    assert "from d.tflite." in (folder / "plain" / "model.c").read_text()
    assert main(["export", "d.tflite", "--c", "plain", "--name", "motion"]) == 0
    assert "motion_step" in (folder / "plain" / "motion.h").read_text()
    assert main(["export", "d.tflite", "--c", "plain", "--name", "motion"]) == 2


def test_a_file_that_cannot_become_c_leaves_nothing(main, folder):
    arguments = ["export", "m.keras", "e.tflite", "--quantization", "float32", "--c", "none"]
    assert main(arguments) == 2
    assert not (folder / "e.tflite").exists()
    assert not (folder / "none").exists()


def test_weights_of_four_bits(main, folder, capsys):
    arguments = ["m.keras", "four.tflite", "--quantization", "int8x4", "--calibration-data", "x.npy"]
    assert main(["export", *arguments]) == 0
    assert "int8x4" in capsys.readouterr().out
    assert main(["inspect", "four.tflite"]) == 0
    assert "int4[" in capsys.readouterr().out


def test_json_tells_what_was_written(main, folder, capsys):
    arguments = ["export", "m.keras", "j.tflite", "--calibration-data", "x.npy", "--c", "j", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == "j.tflite"
    assert found["size"] == (folder / "j.tflite").stat().st_size
    assert found["sources"] == ["j/model.h", "j/model.c"]

"""The program for a bare Cortex-M: on every emulated processor it gives Python's integers and Python's table."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware.vectors import vectors_of

ROOT = Path(__file__).parents[2]
CARD = kv.tflite.Card(classes=[f"class {k}?" for k in range(4)], mean=[0.1] * 6, std=[1, 1, 1, 3, 3, 3])


@pytest.fixture(scope="module")
def example():
    """examples/motion_firmware.py, which streams windows through the program."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import motion_firmware
    finally:
        sys.path.pop(0)
    missing = [packages for tool, packages in motion_firmware.PACKAGES.items() if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs the Debian packages {' '.join(missing)}")
    return motion_firmware


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    keras.utils.set_random_seed(5)
    model = kv.many_to_many(10, 4, features=6, timesteps=8)
    readings = np.random.default_rng(0).normal(0, 2, (30, 8, 6)).astype(np.float32)
    export(model, folder / "motion.tflite", CARD.normalized(readings), form="streaming", card=CARD)
    kv.tflite.write_c(folder / "motion.tflite", folder / "firmware", name="motion")
    return folder, readings


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33"])
def test_the_confusion_matrix_is_that_of_python(core, example, folder):
    folder, readings = folder
    labels = np.random.default_rng(1).integers(0, 4, len(readings))
    made, printed = example.on_board(folder, readings, labels, core)
    vectors = vectors_of(folder / "motion.tflite", CARD.normalized(readings))
    np.testing.assert_array_equal(made, vectors.outputs["output"])
    expected = example.confusion(made, labels)
    rows = [line.split(maxsplit=4) for line in printed.splitlines()]
    np.testing.assert_array_equal([[int(n) for n in row[:4]] for row in rows], expected)
    assert [row[4] for row in rows] == list(CARD.classes)
    assert np.count_nonzero(expected) > 4


def test_an_unknown_core_is_named(example, folder):
    command = ["make", "-f", str(example.BOARD / "Makefile"), "CORE=cortex-m9", "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (
        "CORE must be cortex-m0plus, cortex-m4, cortex-m7 or cortex-m33. Received: CORE=cortex-m9"
        in done.stderr
    )


def test_missing_tools_and_files_are_named(example, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"there is no .*motion\.tflite; run motion\.py first"):
        example.main(["--out", str(tmp_path)])
    monkeypatch.setattr(example.shutil, "which", lambda tool: None)
    with pytest.raises(SystemExit, match="install the Debian packages make gcc-arm-none-eabi libnewlib"):
        example.main(["--out", str(tmp_path)])

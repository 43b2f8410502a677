"""The motion examples as a user runs them: trained for one epoch, then as C on an emulated processor."""

import importlib.util
import shutil

import pytest
from example_runs import EXAMPLES, run_example

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (EXAMPLES / "motion.py").is_file(), reason="runs in the checkout only"),
    pytest.mark.skipif(importlib.util.find_spec("seglearn") is None, reason="needs the extra 'examples'"),
]


def test_from_training_to_the_emulator(tmp_path):
    trained = run_example("motion.py", "--quick", "--out", tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "112 recordings trained on" in trained.stdout
    if shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs the Debian packages gcc-arm-none-eabi and qemu-system-arm")
    done = run_example("motion_firmware.py", "--every", "20", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "outputs that differ from kv.tflite.simulate: 0 of 8400" in done.stdout
    again = run_example("motion_firmware.py", "--every", "20", "--out", tmp_path)
    assert "overwrite" in again.stderr

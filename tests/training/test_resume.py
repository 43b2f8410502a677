"""A training that is killed and restored by BackupAndRestore ends as one that ran without interruption."""

import json
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "support" / "resumed_training.py"


def run(case, folder, die_in="no"):
    command = [sys.executable, SCRIPT, case, folder, str(die_in)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def results(process):
    assert process.returncode == 0, process.stderr[-4000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["truncated", "stateful"])
def test_a_killed_training_continues_as_if_uninterrupted(case, tmp_path):
    undisturbed = results(run(case, tmp_path / "undisturbed"))
    killed = run(case, tmp_path / "backup", die_in=2)
    assert killed.returncode == -signal.SIGKILL
    resumed = results(run(case, tmp_path / "backup"))

    for name in ("weights", "states", "optimizer"):
        assert len(resumed[name]) == len(undisturbed[name])
        for mine, theirs in zip(resumed[name], undisturbed[name], strict=True):
            # The same arithmetic, from a file that keeps every bit of a float32.
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7, err_msg=name)
    assert resumed["iterations"] == undisturbed["iterations"] == len(undisturbed["steps"])
    # Two epochs were saved; the rest of the third died with the process and is trained again.
    assert resumed["epochs"] == [2, 3]
    half = len(undisturbed["steps"]) // 2
    assert resumed["steps"] == undisturbed["steps"][half:]
    np.testing.assert_allclose(resumed["norms"], undisturbed["norms"][half:], rtol=1e-5)
    for name, values in undisturbed["logs"].items():
        np.testing.assert_allclose(resumed["logs"][name], values[2:], rtol=1e-5, err_msg=name)


def test_steps_of_a_loaded_model_continue_its_count(tmp_path):
    import keras_vrnn as kv

    model = kv.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = np.ones((6, 2)), np.ones((6, 1))
    model.fit(x, y, batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded, norms = keras.saving.load_model(tmp_path / "model.keras"), kv.callbacks.GradientNorms()
    loaded.fit(x, y, batch_size=2, verbose=0, callbacks=[norms])
    assert norms.steps.tolist() == [4, 5, 6]

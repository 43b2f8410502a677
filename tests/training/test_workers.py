"""Two processes under MultiWorkerMirroredStrategy train as one process does on the whole batch."""

import json
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from trainings import RECORDED, TRAINED

pytestmark = pytest.mark.slow
SCRIPT = pathlib.Path(__file__).parents[1] / "support" / "worker_training.py"


def start(*arguments):
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_addresses(count):
    # All held at once, so that they differ.
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def results(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def trainings():
    """One process alone, then two together."""
    alone = results(start("alone"))
    addresses = free_addresses(2)
    processes = [start(str(index), *addresses) for index in range(2)]
    try:
        return alone, [results(process) for process in processes]
    finally:
        for process in processes:
            process.kill()


def test_gradients_of_two_processes_are_summed_before_they_are_clipped(trainings):
    for worker in trainings[1]:
        # Exact in float32 but for 1/3.
        np.testing.assert_allclose(worker["opposed"]["weights"], [-1, 0], atol=TRAINED)
        np.testing.assert_allclose(worker["opposed"]["norms"], [3], rtol=TRAINED)


def test_two_processes_equal_one_on_the_whole_batch(trainings):
    alone, workers = trainings
    expected = alone["recurrent"]
    for worker in (each["recurrent"] for each in workers):
        # The sum over processes adds the same numbers in another order, over 12 updates.
        np.testing.assert_allclose(worker["weights"], expected["weights"], atol=TRAINED)
        np.testing.assert_allclose(worker["norms"], expected["norms"], rtol=RECORDED)
        assert worker["logs"].keys() == expected["logs"].keys()
        for name, value in expected["logs"].items():
            np.testing.assert_allclose(worker["logs"][name], value, rtol=RECORDED, err_msg=name)
        assert worker["evaluation"] == pytest.approx(expected["evaluation"], rel=RECORDED)


def test_inf_in_one_process_skips_the_update_in_both(trainings):
    for worker in trainings[1]:
        assert worker["inf"]["logs"]["skipped_steps"] == [1.0]
        assert worker["inf"]["iterations"] == 2
        np.testing.assert_allclose(worker["inf"]["weights"], [-2, -2], atol=TRAINED)

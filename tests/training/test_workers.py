"""What Keras needs of several processes; two of them train as one process does on the whole batch."""

import json
import pathlib
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from trainings import RECORDED, TRAINED

from keras_vrnn.training import workers as processes

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


@pytest.mark.slow
def test_gradients_of_two_processes_are_summed_before_they_are_clipped(trainings):
    for worker in trainings[1]:
        # Exact in float32 but for 1/3.
        np.testing.assert_allclose(worker["opposed"]["weights"], [-1, 0], atol=TRAINED)
        np.testing.assert_allclose(worker["opposed"]["norms"], [3], rtol=TRAINED)


@pytest.mark.slow
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


@pytest.mark.slow
def test_inf_in_one_process_skips_the_update_in_both(trainings):
    for worker in trainings[1]:
        assert worker["inf"]["logs"]["skipped_steps"] == [1.0]
        assert worker["inf"]["iterations"] == 2
        np.testing.assert_allclose(worker["inf"]["weights"], [-2, -2], atol=TRAINED)


# Without a second process.


class TwoProcesses(tf.distribute.MultiWorkerMirroredStrategy):
    """What one of two processes, with a replica each, sees of their strategy."""

    num_replicas_in_sync = 2
    extended = types.SimpleNamespace(worker_devices=("CPU:0",))

    def __init__(self):
        pass

    def experimental_local_results(self, value):
        return (value,)


@pytest.mark.parametrize(
    "strategy", [tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy("CPU:0")], ids=["none", "one"]
)
def test_the_logs_of_one_process_stay(strategy):
    logs = {"loss": tf.constant(2.0)}
    assert not processes.has_others(strategy)
    assert processes.reducible(logs, strategy) is logs


def test_the_logs_of_several_processes_have_an_axis_to_average():
    logs = processes.reducible({"loss": tf.constant(2.0), "own": np.float32(3)}, TwoProcesses())
    assert {name: log.shape.as_list() for name, log in logs.items()} == {"loss": [1], "own": [1]}
    assert {name: float(log[0]) for name, log in logs.items()} == {"loss": 2.0, "own": 3.0}


def test_the_shapes_come_from_the_first_batch_of_this_process():
    x, y = tf.zeros((4, 3)), tf.ones((4, 1))
    found = processes.own_batch(TwoProcesses(), [(0, 2, iter([(x, y), (y, x)]))])
    assert [each is own for each, own in zip(found, (x, y), strict=True)] == [True, True]
    assert processes.own_batch(TwoProcesses(), []) is None


def test_arguments_that_need_one_replica_are_refused_on_several():
    with pytest.raises(ValueError, match=r"`steps` needs one replica, .* Received: steps=2 on 3 replicas"):
        processes.check_replicas(3, other=None, steps=2)
    with pytest.raises(ValueError, match=r"Received: steps=1 on 3 replicas"):
        processes.check_replicas(3, least=0, steps=1)
    processes.check_replicas(3, steps=1)
    processes.check_replicas(1, steps=2)

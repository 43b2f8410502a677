"""The program that runs a file in TFLite Micro: exit status and smallest arena."""

import pytest

from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import trial as micro_trial


@pytest.mark.parametrize("key", [("sequence", "int8"), ("streaming", "int8"), ("sequence", "float32")])
def test_the_smallest_arena_is_enough_and_less_is_not(files, key):
    path = str(files[key])
    arena = micro.attempt(path, smallest=True).arena
    assert arena.total == arena.activations + arena.persistent
    # What stays in use is what print_allocations reports, up to the alignment of the arena's start.
    assert arena.smallest >= arena.total - 16
    assert micro_trial._runs(path, arena.smallest)
    assert not micro_trial._runs(path, arena.smallest - 64)


def test_exit_status(files, capsys):
    assert micro_trial.main(str(files["sequence", "int8"]), "100000") == 0
    assert micro_trial.main(str(files["sequence", "dynamic"]), "100000") == 1
    assert "failed" in capsys.readouterr().err

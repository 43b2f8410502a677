"""CMSIS-NN's products beside ours: all results equal NumPy's, ours take fewer instructions."""

import os

import pytest

from benchmarks import cmsis_nn, firmware


def test_it_says_what_it_needs(monkeypatch, capsys):
    monkeypatch.delenv("CMSIS_NN", raising=False)
    cmsis_nn.main()
    assert capsys.readouterr().out.startswith("Skipped: ")


@pytest.mark.skipif(bool(firmware.missing_tools()), reason=f"needs {firmware.missing_tools()}")
@pytest.mark.skipif("CMSIS_NN" not in os.environ, reason="needs CMSIS_NN, the folder of CMSIS-NN's sources")
def test_results_are_equal_and_ours_take_fewer_instructions(tmp_path):
    found = {}
    for way in cmsis_nn.WAYS:
        found[way], differing = cmsis_nn.measure(way, os.environ["CMSIS_NN"], tmp_path)
        assert differing == 0
    ours, *theirs, ours16, theirs16 = found.values()
    assert ours < min(theirs)
    assert ours16 < theirs16

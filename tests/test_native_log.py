"""Lines of C++ libraries stay out of standard error, those of others do not."""

import os
import subprocess
import sys
import threading

import pytest

from keras_vrnn import _native_log as native_log

LOGGED = "I0000 00:00:1795564133.826333   24523 port.cc:153] oneDNN custom operations are on.\n"


def test_lines_of_others_are_printed_after_the_block(capfd):
    with native_log.kept() as log:
        os.write(2, LOGGED.encode())
        os.write(2, b"fully_quantize: 0, inference_type: 6\n")
        thread = threading.Thread(target=lambda: os.write(2, b"epoch 3\n"))
        thread.start()
        thread.join()
        os.write(2, b"half a line")
        assert capfd.readouterr().err == ""
    assert log == [LOGGED, "fully_quantize: 0, inference_type: 6\n", "epoch 3\n", "half a line"]
    assert capfd.readouterr().err == "epoch 3\nhalf a line"


def test_after_an_error_everything_is_in_the_log(capfd):
    def fails(log):
        with native_log.kept() as kept:
            os.write(2, b"loc(callsite): error: no such thing\n")
            log.append(kept)
            raise RuntimeError("refused")

    logs = []
    with pytest.raises(RuntimeError, match="refused"):
        fails(logs)
    assert logs == [["loc(callsite): error: no such thing\n"]]
    assert capfd.readouterr().err == ""
    os.write(2, b"again\n")
    assert capfd.readouterr().err == "again\n"


def test_a_program_may_have_no_standard_error(capfd, monkeypatch):
    def closed(descriptor):
        raise OSError(9, "Bad file descriptor")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", closed)
        patch.setattr(sys, "stderr", None)
        with native_log.kept() as log:
            pass
    assert log == []


PROGRAM = """
import os, sys
from keras_vrnn import _native_log as native_log
with native_log.left_out():
    os.write(2, b"I0000 00:00:1.2 3 port.cc:1] on\\n")
    print("at once", file=sys.stderr)
    os.write(2, b"of somebody else\\n")
    {last}
print("after", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("last", "level", "expected"),
    [
        ("pass", "2", ["at once", "of somebody else", "after"]),
        ("pass", "0", ["I0000 00:00:1.2 3 port.cc:1] on", "at once", "of somebody else", "after"]),
        (
            "raise OSError(1)",
            "2",
            ["at once", "of somebody else", "I0000 00:00:1.2 3 port.cc:1] on", "OSError: 1"],
        ),
    ],
)
def test_left_out_of_a_program(last, level, expected):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(last=last)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": level},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("Traceback", "  "))] == expected


def test_a_stand_in_for_standard_error_is_left_alone(capsys):
    before = sys.stderr
    with native_log.left_out():
        assert sys.stderr is before

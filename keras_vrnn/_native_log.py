"""Catches what C++ libraries print on standard error, without losing what others print there."""

import contextlib
import os
import re
import sys
import tempfile

# Lines of TensorFlow's, absl's and LiteRT's loggers, and two that the quantizer prints by itself.
_NATIVE = re.compile(
    r"[IWEF]\d{4} |WARNING: All log messages before absl|INFO: |fully_quantize: |To enable the following instr|"
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] "
)


@contextlib.contextmanager
def kept():
    """Yields a list that receives the lines printed while the block runs.

    If the block ends without an error, lines that are not of such libraries are printed after it. Only one thread may
    have a block at a time, because the file descriptor of standard error belongs to the whole process.
    """
    log = []
    try:
        own = os.dup(2)
    except OSError:  # a program without standard error
        yield log
        return
    _flush()
    with tempfile.TemporaryFile() as catcher:
        os.dup2(catcher.fileno(), 2)
        ended_well = False
        try:
            yield log
            ended_well = True
        finally:
            _flush()
            os.dup2(own, 2)
            os.close(own)
            catcher.seek(0)
            log += catcher.read().decode(errors="replace").splitlines(keepends=True)
            if ended_well:
                others = "".join(line for line in log if not _NATIVE.match(line))
                os.write(2, others.encode(errors="replace"))


@contextlib.contextmanager
def left_out():
    """Leaves out what C++ libraries print while the block runs, such as TensorFlow's page when it starts.

    For programs in front of a person. What Python prints appears at once; after an error, so does everything else.
    `TF_CPP_MIN_LOG_LEVEL=0` in the environment shows it all.
    """
    python, log = sys.stderr, []
    with contextlib.ExitStack() as stack:
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "0" and _is_descriptor_2(python):
            direct = stack.enter_context(open(os.dup(2), "w", buffering=1, encoding="utf-8"))
            stack.callback(setattr, sys, "stderr", python)
            log = stack.enter_context(kept())
            sys.stderr = direct
        try:
            yield
        except Exception:
            stack.close()  # prints the lines of others
            sys.stderr.writelines(line for line in log if _NATIVE.match(line))
            raise


def _is_descriptor_2(stream):
    try:
        return stream is not None and stream.fileno() == 2
    except (OSError, ValueError):  # a stand-in, as in tests and notebooks
        return False


def _flush():
    if sys.stderr is not None:
        sys.stderr.flush()

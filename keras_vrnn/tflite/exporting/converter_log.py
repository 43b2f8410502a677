"""Catches what the converter's C++ part prints on standard error, without losing what other threads print there."""

import contextlib
import os
import re
import sys
import tempfile

# Lines of TensorFlow's and absl's loggers, and two that the quantizer prints by itself.
_OF_THE_CONVERTER = re.compile(
    r"[IWEF]\d{4} |WARNING: All log messages before absl|INFO: |fully_quantize: |"
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWEF] "
)


@contextlib.contextmanager
def kept():
    """Yields a list that receives the lines printed while the block runs.

    If the block ends without an error, lines that are not the converter's are printed after it. Only one block may run
    at a time, because the file descriptor of standard error belongs to the whole process.
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
                others = "".join(line for line in log if not _OF_THE_CONVERTER.match(line))
                os.write(2, others.encode(errors="replace"))


def _flush():
    if sys.stderr is not None:
        sys.stderr.flush()

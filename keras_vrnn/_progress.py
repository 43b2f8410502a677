"""One line in a terminal about a long job: what is being done, and how much of it.

    with progress.shown("verify", wanted):          a public function opens the line
        progress.stage("running LiteRT")            whatever it calls says what it does
        for row in progress.counted(rows):          "verify: running LiteRT 120/500"

Nothing is written where standard error is no terminal, so that logs stay as they are. The line is gone at the end.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

_EVERY = 0.1  # seconds between two counts


class _Line:
    def __init__(self, job, stream):
        self._job, self._stream, self._stage, self._last = job, stream, "", 0.0
        self.counting = False

    def stage(self, text):
        self._stage, self._last = text, 0.0
        self._write(f"{self._job}: {text}")

    def count(self, done, total):
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            self._write(f"{self._job}: {self._stage} {done}/{total}")

    def _write(self, text):
        width = shutil.get_terminal_size().columns - 1
        # The cursor goes back to the start, so that a warning is written over the line instead of behind it.
        self._stream.write(f"\r{text[:width].ljust(width)}\r")
        self._stream.flush()

    def clear(self):
        self._write("")


_LINE: ContextVar[_Line | None] = ContextVar("line", default=None)


@contextlib.contextmanager
def shown(job: str, wanted: bool = True) -> Iterator[None]:
    """Shows the progress of a job while the block runs; a job inside another one shares its line.

    Args:
        job: its name, with which the line begins.
        wanted: whether to show anything.
    """
    outer = _LINE.get()
    line = outer if wanted else None
    if wanted and outer is None and sys.stderr is not None and sys.stderr.isatty():
        line = _Line(job, sys.stderr)
    token = _LINE.set(line)
    try:
        yield
    finally:
        _LINE.reset(token)
        if line is not None and line is not outer:
            line.clear()


def stage(text: str) -> None:
    """Says what the job is doing now."""
    line = _LINE.get()
    if line is not None:
        line.stage(text)


def counted(items: Sequence[Any]) -> Iterator[Any]:
    """Yields items, and counts them behind the stage; the outermost of several loops counts."""
    line = _LINE.get()
    if line is None or line.counting:
        yield from items
        return
    line.counting = True
    try:
        for done, item in enumerate(items, 1):
            line.count(done, len(items))
            yield item
    finally:
        line.counting = False

"""A digest inside a `.tflite` file that shows whether the file is still what was written.

    buffer of the metadata entry = mark (8 bytes) + BLAKE2b of every other byte of the file (16 bytes)

Interpreters ignore the entry. An export writes it; whatever reads a file checks it before anything else, because a
damaged file can crash an interpreter, keep it busy without end, or give wrong numbers. It does not protect against
anyone who changes a file on purpose.

Needs the standard library only.
"""

import hashlib
import os
from pathlib import Path

from keras_vrnn import _files

ENTRY = "keras_vrnn_digest"
_MARK = b"\xc5VRNN\x1a\x0d\xb2"  # no text and no run of small weights looks like this
_BYTES = 16
PLACEHOLDER = _MARK + bytes(_BYTES)


def sealed(content: bytes) -> bytes:
    """Returns the bytes of a file with its digest filled in; a file without the entry stays as it is."""
    place = content.find(_MARK) + len(_MARK)
    if place < len(_MARK):
        return content
    return content[:place] + _digest(content, place) + content[place + _BYTES :]


def is_intact(content: bytes) -> bool:
    """Returns True if a file agrees with its digest, False if it holds none.

    Raises:
        ValueError: the file differs from what was written.
    """
    marks, named = content.count(_MARK), ENTRY.encode() in content
    if marks == 0 and not named:
        return False
    place = content.find(_MARK) + len(_MARK)
    if marks != 1 or not named or content[place : place + _BYTES] != _digest(content, place):
        raise ValueError("its content differs from the digest that the export stored in it")
    return True


def seal(path: str | os.PathLike[str]) -> None:
    """Accepts a change that another program made to an exported `.tflite` file: writes its digest anew.

    Args:
        path: a file that `export` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no digest.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"`path` must be a file that exists. Received: path={os.fspath(path)!r}")
    content = Path(path).read_bytes()
    if content.count(_MARK) != 1:
        raise ValueError(
            f"`path` must be a file with the digest of an export. Received: path={os.fspath(path)!r}, which holds "
            "none and needs none to be read."
        )
    _files.check_writable(path, overwrite=True)
    with _files.replacing(path) as temporary:
        temporary.write_bytes(sealed(content))


def _digest(content, place):
    rest = content[:place], content[place + _BYTES :]
    return hashlib.blake2b(b"".join(rest), digest_size=_BYTES).digest()

"""Writes a `.tflite` file as one C source and its header, alone or as a package of a tool chain."""

import contextlib
from pathlib import Path

from keras_vrnn import _files
from keras_vrnn._version import __version__
from keras_vrnn.firmware import packages
from keras_vrnn.firmware.buffers import Unsupported
from keras_vrnn.firmware.header import header, printable
from keras_vrnn.firmware.program import program_of
from keras_vrnn.firmware.source import source
from keras_vrnn.tflite import digest
from keras_vrnn.tflite.micro import identifiers


def write(path, folder, name, package, received, origin):
    """Writes the sources of a file and returns their paths; `check_request` has been called.

    Args:
        path: the file.
        folder, name, package: as for `write_c`.
        received: what an error says was received.
        origin: what the sources say they come from.
    """
    program = _checked_program(path, received)
    origin = f"/* Written by keras-vrnn {__version__} from {printable(origin)}. */"
    texts = packages.files(
        package, name, program, header(program, name, origin), source(program, name, origin)
    )
    targets = {Path(folder) / place: text for place, text in texts.items()}
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:  # all of them or, on a full disk, none
        for target, text in targets.items():
            stack.enter_context(_files.replacing(target)).write_text(text, encoding="utf-8")
    return list(targets)


def _checked_program(path, received):
    """Returns the program of a file; errors say what was received."""
    try:
        return program_of(path, "path_or_model")
    except Unsupported as reason:
        raise ValueError(
            "`path_or_model` must be something that can become C: exported with quantization='int8', 'int8x4' or "
            f"'int16x8', of operators that kv.tflite.write_c has. Received: {received}, which {reason}. Run it with "
            "TFLite Micro: kv.tflite.write_c_array writes its sources."
        ) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        if digest.is_intact(Path(path).read_bytes()):
            raise  # not the file's fault
        raise ValueError(
            f"`path_or_model` must be a TFLite model whose parts agree. Received: {received}, in which "
            f"{error or type(error).__name__!r} does not fit. Export or copy it again."
        ) from error


def check_request(folder, name, package, overwrite, argument="folder"):
    """Raises, before any work, what `write_c` would raise whatever the file holds; arguments as there."""
    identifiers.check(name)
    _files.check_targets(
        folder, [Path(folder) / place for place in packages.places(package, name)], overwrite, argument
    )

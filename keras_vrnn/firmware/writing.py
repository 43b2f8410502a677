"""Writes a `.tflite` file as one C source and its header, alone or as a package of a tool chain."""

import contextlib
import os
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


def write_c(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    package: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes an int8, int8x4 or int16x8 file as C99 that computes it without an interpreter.

    The C code gives the same integers as TFLite Micro's reference kernels. It needs stdint.h and string.h, allocates
    nothing and uses no floating point. A streaming file becomes `<name>_reset` and `<name>_step`, any other
    `<name>_run`; the header has their arguments, sizes and scales.

    Args:
        path: the `.tflite` file.
        folder: where to write `<name>.h` and `<name>.c`; it is created.
        name: the name with which their public names begin.
        package: None for the two files alone, or the tool chain that takes the folder as it is: "cmake" (a library),
            "arduino" (a library with a sketch), "esp-idf" (a component) or "zephyr" (a module).
        overwrite: replace files that exist.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: there is no file `path`.
        ValueError: it is not a TFLite model, it holds something that C sources do not have, the name can't be used,
            or there is no such package.
        FileExistsError, OSError: a file exists, or can't be written.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(
            f"`path` must be a .tflite file. Received: a {type(path).__name__}. Export a model first, with "
            "kv.tflite.export(model, path, quantization='int8', calibration_data=x)."
        )
    check_request(folder, name, package, overwrite)
    try:
        program = program_of(path)
    except Unsupported as reason:
        raise ValueError(
            "`path` must be a file that can become C: exported with quantization='int8', 'int8x4' or 'int16x8', of "
            f"operators that kv.tflite.write_c has. Received: path={os.fspath(path)!r}, which {reason}. Run it with "
            "TFLite Micro: kv.tflite.write_c_array writes its sources."
        ) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        if digest.is_intact(Path(path).read_bytes()):
            raise  # not the file's fault
        raise ValueError(
            f"`path` must be a TFLite model whose parts agree. Received: path={os.fspath(path)!r}, in which "
            f"{error or type(error).__name__!r} does not fit. Export or copy it again."
        ) from error
    origin = f"/* Written by keras-vrnn {__version__} from {printable(Path(path).name)}. */"
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


def check_request(folder, name, package, overwrite, argument="folder"):
    """Raises, before any work, what `write_c` would raise whatever the file holds; arguments as there."""
    identifiers.check(name)
    _files.check_targets(
        folder, [Path(folder) / place for place in packages.places(package, name)], overwrite, argument
    )

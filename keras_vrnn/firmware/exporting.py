"""C sources of a `.tflite` file, or of a Keras model, which is exported first.

Keras and TensorFlow are imported for a model alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from keras_vrnn.firmware import writing

if TYPE_CHECKING:
    import keras
    from typing_extensions import Unpack

    from keras_vrnn.tflite.exporting.options import ExportOptions


@overload
def write_c(
    path_or_model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    package: str | None = None,
    overwrite: bool = False,
) -> list[Path]: ...
@overload
def write_c(
    path_or_model: keras.Model,
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    package: str | None = None,
    overwrite: bool = False,
    **export_options: Unpack[ExportOptions],
) -> list[Path]: ...
def write_c(
    path_or_model: Any,
    folder: str | os.PathLike[str],
    *,
    name: str = "model",
    package: str | None = None,
    overwrite: bool = False,
    **export_options: Any,
) -> list[Path]:
    """Writes an int8, int8x4 or int16x8 model as C99 that computes it without an interpreter.

    The C code gives the same integers as TFLite Micro's reference kernels. It needs stdint.h and string.h, allocates
    nothing and uses no floating point. A streaming model becomes `<name>_reset` and `<name>_step`, any other
    `<name>_run`; the header has their arguments, sizes and scales.

    Args:
        path_or_model: the `.tflite` file; or a Keras model, which is exported to a temporary file first. Export it
            yourself to keep the file that the C code can be compared with.
        folder: where to write `<name>.h` and `<name>.c`; it is created.
        name: the name with which their public names begin.
        package: None for the two files alone, or the tool chain that takes the folder as it is: "cmake" (a library),
            "arduino" (a library with a sketch), "esp-idf" (a component) or "zephyr" (a module).
        overwrite: replace files that exist.
        **export_options: for a Keras model, the keywords of `export`: `calibration_data`, which "int8", the default
            quantization, needs; `quantization`, `form`, `card` and so on.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: there is no file of this path.
        ValueError: it is not a TFLite model, it holds something that C sources do not have, the name can't be used,
            or there is no such package; export options with a path; or as `export`.
        FileExistsError, OSError: a file exists, or can't be written.
    """
    writing.check_request(folder, name, package, overwrite)
    with _file_of(path_or_model, export_options) as (path, received, origin):
        return writing.write(path, folder, name, package, received, origin)


@contextlib.contextmanager
def _file_of(path_or_model, export_options):
    """Yields the path of a file, what a message says was received, and what the sources say they come from."""
    if isinstance(path_or_model, (str, os.PathLike)):
        if export_options:
            raise ValueError(
                f"`{next(iter(export_options))}` must be left out with a .tflite file, which was exported already. "
                f"Received: path_or_model={os.fspath(path_or_model)!r}. Export the model with it, or pass the model."
            )
        yield path_or_model, f"path_or_model={os.fspath(path_or_model)!r}", Path(path_or_model).name
        return
    keras = sys.modules.get("keras")  # whoever has a model has imported it
    if keras is None or not isinstance(path_or_model, keras.Model):
        raise ValueError(
            "`path_or_model` must be a .tflite file or a Keras model. Received: an object of type "
            f"{type(path_or_model).__name__}."
        )
    from keras_vrnn.models import EncoderDecoder
    from keras_vrnn.tflite.exporting.export_model import export

    if isinstance(path_or_model, EncoderDecoder):
        raise ValueError(
            "`path_or_model` must be one model. Received: a kv.EncoderDecoder, which becomes a folder of two files. "
            "Export it, and write each file as C."
        )
    label = f"the Keras model {path_or_model.name!r}"
    with tempfile.TemporaryDirectory() as unfinished:
        path = Path(unfinished) / "model.tflite"
        export(path_or_model, path, **export_options)
        yield path, label, label.replace("'", "")

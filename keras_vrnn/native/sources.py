"""What the library is built from, and how. `python keras_vrnn/native/sources.py` builds it beside its sources.

Needs the standard library alone, because setup.py uses it before anything is installed.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = (
    "jax_calls.cc",
    "ops.cc",
    "recurrence_avx2.cc",
    "recurrence_avx512.cc",
    "recurrence_portable.cc",
    "threads.cc",
)
HEADERS = (
    "calls.h",
    "jax_ffi.h",
    "products.h",
    "recurrence.h",
    "recurrence_code.h",
    "slices.h",
    "tensorflow_c.h",
    "threads.h",
    "vectors.h",
)
# -ffp-contract=fast: a·b + c in one instruction where there is one. No option may change arithmetic further.
OPTIONS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fvisibility=hidden", "-fPIC", "-pthread")


def library() -> Path:
    """The file of the built library. Its name depends on the sources, so that none built from others is loaded."""
    found = hashlib.sha256()
    for name in (*SOURCES, *HEADERS):
        found.update((FOLDER / name).read_bytes())
    return FOLDER / f"_recurrence_{found.hexdigest()[:12]}.so"


def build(file: Path) -> None:
    """Compiles and links the library with $CXX, or the first compiler found.

    Raises:
        RuntimeError: There is no compiler, or it fails; the message has its output.
    """
    compiler = shlex.split(os.environ.get("CXX") or "")
    compiler = compiler or next(([name] for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler was found: install g++ or clang++, or name one in CXX")
    file.parent.mkdir(parents=True, exist_ok=True)
    # The dot keeps setuptools from taking it for a package, where two installations run at once.
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".build-") as folder:
        made = Path(folder, file.name)
        sources = [os.fspath(FOLDER / name) for name in SOURCES]
        command = [*compiler, *OPTIONS, *sources, "-shared", "-ldl", "-o", os.fspath(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            raise RuntimeError(f"{compiler[0]} cannot be run: {error}") from error
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr}")
        made.replace(file)


def main() -> int:
    """Builds the library where it is missing, and removes those built from other sources."""
    file = library()
    if not file.is_file():
        try:
            build(file)
        except RuntimeError as error:
            print(f"keras_vrnn runs without its native kernel: {error}", file=sys.stderr)
            return 1
    for other in set(FOLDER.glob("_recurrence_*.so")) - {file}:
        other.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())

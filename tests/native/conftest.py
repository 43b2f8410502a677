"""Fixtures for the native kernel in C++."""

import shutil
import subprocess

import pytest

from keras_vrnn.native import library, sources


@pytest.fixture(params=["avx512", "avx2", "portable"])
def instructions(request, native_on, monkeypatch):
    """Each version of the kernel that this processor can run."""
    monkeypatch.setenv(library.VARIABLE, request.param)
    if not library.instructions_name(library.instructions()):
        pytest.skip(f"this processor has no {request.param}")
    return request.param


@pytest.fixture
def compiler(tmp_path):
    """A function that compiles C++ with some options, and skips the test where there is no compiler."""
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if found is None:
        pytest.skip("there is no C++ compiler")

    def compile_with(*options):
        done = subprocess.run(
            [found, "-std=c++17", f"-I{sources.FOLDER}", *options], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]

    return compile_with

"""Names of C++ sources: what is refused, and that the rest compiles."""

import contextlib
import re
import shutil
import subprocess

import pytest

from keras_vrnn.tflite.micro import identifiers

# What the generated sources and the program around them include, and what firmware often includes besides.
HEADERS = """
    array cmath cstddef cstdint cstdio cstdlib cstring limits time.h signal.h unistd.h errno.h stdio.h string.h math.h
"""
ALLOWED = [
    "model",
    "gestures",
    "Keyword_2",
    "motion",
    "rnn",
    "isolation",
    "stream",
    "kArena",
    "memory",
    "data",
]
REFUSED = """
    class namespace and co_await int double index gamma y1 sinf time signal main std tflite linux nice int8_t size_t
    NULL EOF M_PI MODEL _model my__model 1x a-b é
"""

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")


@pytest.mark.parametrize("name", [*REFUSED.split(), "", None, 3])
def test_names_that_may_not_compile_are_refused(name):
    with pytest.raises(ValueError, match=r"`name` must be a C\+\+ identifier"):
        identifiers.check(name)


@needs_compiler
def test_names_that_are_allowed_compile(tmp_path):
    """Each as a namespace beside the headers, and all in one run of the compiler."""
    for name in ALLOWED:
        identifiers.check(name)
    lines = [f"#include <{header}>" for header in HEADERS.split()]
    lines += [f"namespace {name} {{ int value; }}" for name in ALLOWED]
    (tmp_path / "names.cc").write_text("\n".join([*lines, "int main() { return model::value; }", ""]))
    command = ["g++", "-std=gnu++17", "-fsyntax-only", str(tmp_path / "names.cc")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_no_name_of_the_c_library_is_allowed(tmp_path):
    """The C++ headers take each name over from the global namespace by `using ::name`."""
    headers = "cctype clocale cmath csignal cstddef cstdint cstdio cstdlib cstring ctime cwchar"
    (tmp_path / "headers.cc").write_text("\n".join(f"#include <{header}>" for header in headers.split()))
    command = ["g++", "-std=gnu++17", "-E", "-P", str(tmp_path / "headers.cc")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    taken, allowed = set(re.findall(r"using ::([A-Za-z]\w*);", text)), []
    assert len(taken) > 200
    for name in sorted(taken):
        with contextlib.suppress(ValueError):
            identifiers.check(name)
            allowed.append(name)
    assert not allowed

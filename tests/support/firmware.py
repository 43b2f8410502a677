"""C programs around written sources: compiled, run on the integers of arrays, and compared with the simulation."""

import shutil
import subprocess

import numpy as np
import pytest
from micro_operators import both

import keras_vrnn as kv
from keras_vrnn.firmware.program import C_TYPES, program_of
from keras_vrnn.firmware.vectors import vectors_of

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion"]
# Clang needs no library for checks that end the program.
TRAPPED = ["-fsanitize=undefined", "-fsanitize-trap=undefined"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def compiler(name):
    """Returns the path of a program, or skips the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def main_source(program, name, samples, steps):
    """Returns a C program that reads the integers of all steps from stdin and writes the outputs to stdout."""
    edges = [*program.inputs, *program.outputs]
    arrays = [f"static {C_TYPES[e.view.dtype.name]} {e.argument}[{e.view.size}];" for e in edges]
    read = [f"if (fread({e.argument}, sizeof {e.argument}, 1, stdin) != 1) return 2;" for e in program.inputs]
    write = [f"(void)fwrite({e.argument}, sizeof {e.argument}, 1, stdout);" for e in program.outputs]
    given = ", ".join(["&state", *(e.argument for e in edges)])
    verb, reset = ("step", f"{name}_reset(&state);") if program.states else ("run", "")
    body = "\n            ".join([*read, f"if ({name}_{verb}({given}) != 0) return 3;", *write])
    return f"""#include <stdio.h>
#include <string.h>
#include "{name}.h"

static {name}_state state;
{chr(10).join(arrays)}

int main(void)
{{
    int sample;
    int step;
    memset(&state, 0x55, sizeof state);
    for (sample = 0; sample < {samples}; ++sample) {{
        {reset}
        for (step = 0; step < {steps}; ++step) {{
            {body}
        }}
    }}
    return 0;
}}
"""


def compiled(folder, sources, command):
    """Compiles sources of a folder, warnings being errors; returns the program's path."""
    target = folder / "program"
    files = [str(folder / source) for source in sources]
    done = subprocess.run([*command, *files, "-o", str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(path, folder, given, command, samples=1, steps=1, name="net"):
    """Writes a file as C, compiles it and runs it on the bytes of its inputs; returns those of its outputs."""
    kv.tflite.write_c(path, folder, name=name, overwrite=True)
    (folder / "main.c").write_text(main_source(program_of(path), name, samples, steps))
    target = compiled(folder, ["main.c", f"{name}.c"], command)
    done = subprocess.run([str(target)], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return done.stdout


def gcc():
    """The command that compiles with GCC and all checks; skips the test where there is no GCC."""
    return [compiler("gcc"), *STRICT, *SANITIZED, "-O1"]


def clang():
    """The command that compiles with Clang and the checks that need no library."""
    return [compiler("clang"), *STRICT, *TRAPPED, "-O2"]


def differing(path, x, folder, command, name="net"):
    """Returns how many integers of the outputs differ from the simulation, and how many there are."""
    vectors = vectors_of(path, x)
    made = run(path, folder, vectors.given, command, vectors.samples, vectors.steps, name)
    assert len(made) == len(vectors.expected)
    dtype = next(iter(vectors.outputs.values())).dtype
    ours, theirs = (np.frombuffer(content, dtype) for content in (made, vectors.expected))
    return int(np.count_nonzero(ours != theirs)), len(theirs)


def assert_operator(folder, name, inputs, shape, dtype, target=None, settings=None):
    """A file of one operator must give the integers of TFLite Micro; arguments as for `micro_operators.both`."""
    path = folder / "operator.tflite"
    theirs, _ = both(path, name, inputs, shape, dtype, target, settings)
    given = b"".join(array.tobytes() for array, _, *constant in inputs if not constant)
    made = run(path, folder, given, gcc())
    stored = np.int8 if theirs.dtype == np.bool_ else theirs.dtype
    np.testing.assert_array_equal(np.frombuffer(made, stored).reshape(theirs.shape), theirs)

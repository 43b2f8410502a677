"""C programs around written sources: compiled, run on the integers of arrays, and compared with the simulation."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

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


def main_source(program, name, vectors):
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
    for (sample = 0; sample < {vectors.samples}; ++sample) {{
        {reset}
        for (step = 0; step < {vectors.steps}; ++step) {{
            {body}
        }}
    }}
    return 0;
}}
"""


def built(path, folder, name, vectors, command):
    """Writes and compiles a program; returns its path."""
    folder = Path(folder)
    kv.tflite.write_c(path, folder, name=name, overwrite=True)
    (folder / "main.c").write_text(main_source(program_of(path), name, vectors))
    target = folder / "program"
    sources = [str(folder / "main.c"), str(folder / f"{name}.c")]
    done = subprocess.run(
        [*command, *sources, "-o", str(target)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def differing(path, x, folder, command, name="net"):
    """Returns how many bytes of the outputs differ from the simulation, and how many there are."""
    vectors = vectors_of(path, x)
    target = built(path, folder, name, vectors, command)
    done = subprocess.run([str(target)], input=vectors.given, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    ours, theirs = (np.frombuffer(content, np.int8) for content in (done.stdout, vectors.expected))
    assert len(ours) == len(theirs)
    return int(np.count_nonzero(ours != theirs)), len(theirs)

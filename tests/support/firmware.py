"""C programs around written sources: compiled, run on the integers of arrays, and compared with the simulation."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.firmware.program import C_TYPES, program_of
from keras_vrnn.tflite.running.engines import quantize
from keras_vrnn.tflite.running.simulator import Simulator

STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def compiler(name):
    """Returns the path of a program, or skips the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def main_source(program, name, samples, steps):
    """Returns a C program that reads the integers of all steps from stdin and writes the outputs to stdout."""
    arrays = [
        f"static {C_TYPES[e.view.dtype.name]} {e.argument}[{e.view.size}];"
        for e in [*program.inputs, *program.outputs]
    ]
    read = [f"if (fread({e.argument}, sizeof {e.argument}, 1, stdin) != 1) return 2;" for e in program.inputs]
    write = [f"(void)fwrite({e.argument}, sizeof {e.argument}, 1, stdout);" for e in program.outputs]
    given = ", ".join(["&state", *(e.argument for e in [*program.inputs, *program.outputs])])
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


def integers(path, x):
    """Returns the integers of the inputs, (samples, steps, all of them as bytes), and of the outputs likewise."""
    runner = Simulator(path)
    engine = runner._engine
    program = program_of(path)
    x = x if isinstance(x, dict) else {program.inputs[0].label: x}
    inputs = {e.label: quantize(np.asarray(x[e.label]), engine.inputs[e.label]) for e in program.inputs}
    samples = len(next(iter(inputs.values())))
    steps = 1
    if program.states:
        steps = next(iter(inputs.values())).shape[1]
        inputs = {k: v.reshape(samples, steps, -1) for k, v in inputs.items()}
    else:
        inputs = {k: v.reshape(samples, 1, -1) for k, v in inputs.items()}
    given, expected = bytearray(), bytearray()
    for sample in range(samples):
        if engine.can_reset:
            engine.reset()
        for source, target in runner._states.values():
            engine.set(source, quantize(np.zeros(engine.get(source).shape), source))
        for step in range(steps):
            for e in program.inputs:
                values = inputs[e.label][sample, step]
                given += values.tobytes()
                engine.set(engine.inputs[e.label], values.reshape(engine.inputs[e.label]["shape"]))
            engine.invoke()
            for e in program.outputs:
                expected += engine.get(engine.outputs[e.label]).tobytes()
            for source, target in runner._states.values():
                engine.set(source, engine.get(target))
    return program, samples, steps, bytes(given), bytes(expected)


def built(path, folder, name, sizes, command):
    """Writes and compiles a program; returns its path."""
    program, samples, steps = sizes
    folder = Path(folder)
    kv.tflite.write_c(path, folder, name=name, overwrite=True)
    (folder / "main.c").write_text(main_source(program, name, samples, steps))
    target = folder / "program"
    done = subprocess.run(
        [*command, str(folder / "main.c"), str(folder / f"{name}.c"), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def differing(path, x, folder, command, name="model"):
    """Returns how many bytes of the outputs differ from the simulation, and how many there are."""
    program, samples, steps, given, expected = integers(path, x)
    target = built(path, folder, name, (program, samples, steps), command)
    done = subprocess.run([str(target)], input=given, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    assert len(done.stdout) == len(expected)
    ours, theirs = np.frombuffer(done.stdout, np.int8), np.frombuffer(expected, np.int8)
    return int(np.count_nonzero(ours != theirs)), len(theirs)

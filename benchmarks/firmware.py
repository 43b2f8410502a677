"""Measures C sources of `kv.tflite.write_c` on emulated Cortex-M processors: `make firmware`.

The model is one vanilla RNN layer, one time step a call. For each processor the program is compiled, run in QEMU, and
compared with the simulation integer for integer. Flash is the size of the object file (code and constants), RAM the
state struct, stack what a call wrote. Instructions are counted by QEMU (-icount shift=0: each instruction takes one
nanosecond of virtual time); the program reads them from the SysTick timer over many calls, and a loop of known length
gives the instructions of one tick. A call counts from its caller's loop on, with the functions of the C library in it.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import keras_vrnn as kv
from keras_vrnn.firmware.program import C_TYPES, program_of
from keras_vrnn.firmware.vectors import vectors_of
from keras_vrnn.tflite.micro import interpreter as micro

BOARD = Path(__file__).parents[1] / "export" / "cortex_m"
TOOLS = {
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "arm-none-eabi-size": "binutils-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}
SPINS = 100_000
FORMATS = ("int8", "int8x4", "int16x8")
LEVELS = ("-Os", "-O3")
UNITS, FEATURES, STEPS = 32, 6, 100
NOTE = """
Instructions are counted, not timed. With c cycles per instruction and a clock of f MHz, a call takes about
instructions * c / (1000 f) milliseconds. Assume a c of 1 to 1.5 on a Cortex-M0+, M4 or M33 that reads flash without
wait states, and less than 1 on an M7, which issues two instructions at once; wait states of the flash come on top.
QEMU has no Cortex-M0+: its code, of the same instruction set, runs on a Cortex-M0.
"""


BESIDE = """
The same files in TFLite Micro, besides the code of its interpreter and kernels; the arena is that of a 64-bit machine:

"""


@dataclass(frozen=True)
class Core:
    """A processor, and its name in the compiler and in the Makefile."""

    name: str
    flag: str


CORES = (
    Core("Cortex-M0+", "cortex-m0plus"),
    Core("Cortex-M4", "cortex-m4"),
    Core("Cortex-M7", "cortex-m7"),
    Core("Cortex-M33", "cortex-m33"),
)


@dataclass(frozen=True)
class Figures:
    """What one processor needs for one call; sizes in bytes."""

    core: str
    options: str
    code: int
    constants: int
    state: int
    stack: int
    instructions: float
    per_multiplication: float
    differing: int
    compared: int


def missing_tools():
    """Returns the Debian packages to install."""
    return sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})


def measure(path, x, core, options, folder):
    """Returns the `Figures` of a file on a processor.

    Args:
        path: the file.
        x: its data, as for `vectors_of`; the inputs must fit the flash of the board, 256 kB.
        core: the `Core`.
        options: the compiler's options, such as ["-O3"].
        folder: where to write and compile.
    """
    folder, program, vectors = Path(folder), program_of(path), vectors_of(path, x)
    kv.tflite.write_c(path, folder, name="net", overwrite=True)
    (folder / "main.c").write_text(_main(program, vectors))
    numbers = run_on_board(core, options, folder)
    instructions = numbers["instructions"]
    code, constants = _flash(folder / "net.o")
    return Figures(
        core.name, " ".join(options), code, constants, numbers["state"], numbers["stack"],
        instructions, instructions / program.multiplications, numbers["differing"], len(vectors.expected),
    )  # fmt: skip


def run_on_board(core, options, folder):
    """Compiles net.c and main.c of a folder, runs them, and returns the numbers that main.c prints, by label.

    It must print "spin", the ticks of `SPINS` turns; "ticks" and "calls" of what is measured; and "differing".
    "instructions" of one call comes from them.
    """
    given = {"NAME": "net", "MODEL": folder, "MAIN": folder / "main.c", "BUILD": folder, "CORE": core.flag}
    variables = [f"{key}={value}" for key, value in given.items()]
    printed = _run(
        ["make", "-s", "-f", str(BOARD / "Makefile"), *variables, f"OPTIONS={' '.join(options)}", "run"]
    )
    numbers = {label: int(n) for label, n in re.findall(r"(\w+) (\d+)", printed)}
    if "differing" not in numbers or "fault" in numbers:
        raise RuntimeError(f"{core.name} did not finish: {printed!r}")
    per_tick = 2 * SPINS / numbers["spin"]
    return numbers | {"instructions": per_tick * numbers["ticks"] / numbers["calls"]}


def export_layer(path, quantization):
    """Exports one layer of random weights as a streaming file; returns data of one sequence."""
    import keras

    keras.utils.set_random_seed(1)
    inputs = keras.Input((STEPS, FEATURES), name="x")
    layer = kv.VanillaRNN(
        UNITS, return_sequences=True, bias_initializer=keras.initializers.RandomNormal(stddev=0.3)
    )
    x = np.random.default_rng(0).normal(size=(16, STEPS, FEATURES)).astype(np.float32)
    kv.tflite.export(
        keras.Model(inputs, layer(inputs)),
        path,
        form="streaming",
        quantization=quantization,
        calibration_data=x,
        max_error=1.0,  # random weights: their accuracy in 4 bits is not the matter here
    )
    return x[:1]


def table(rows):
    """Returns (format, `Figures`) pairs as a table in Markdown."""
    head = (
        "core, compiler, weights, code B, constants B, RAM B, stack B, instructions, per multiply-accumulate"
    )
    lines = ["| " + head.replace(", ", " | ") + " | integers that differ |", "| --- " * 10 + "|"]
    for format, f in rows:
        cells = [f.core, f.options, format, f.code, f.constants, f.state, f.stack, round(f.instructions)]
        cells += [f"{f.per_multiplication:.2f}", f"{f.differing} of {f.compared}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def interpreter(path, quantization):
    """Returns what TFLite Micro needs for a file besides its own code, as far as its Python package shows it."""
    tried = micro.attempt(path, smallest=True)
    size = Path(path).stat().st_size
    return f"- {quantization}: {size} bytes of file in flash, {tried.arena.smallest} bytes of arena in RAM\n"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.firmware", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out/firmware.md"), help="the table to write")
    options = parser.parse_args(arguments)
    missing = missing_tools()
    if missing:
        print(
            f"Skipped: install the Debian packages {', '.join(missing)} with apt-get install, and run it again."
        )
        return
    rows, beside = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for quantization in FORMATS:
            path = Path(folder) / f"{quantization}.tflite"
            x = export_layer(path, quantization)
            beside += interpreter(path, quantization) if micro.is_installed() else ""
            rows += [
                (quantization, measure(path, x, core, [level], folder)) for core in CORES for level in LEVELS
            ]
    title = f"# One vanilla RNN layer, {UNITS} units, {FEATURES} features, one time step a call\n\n"
    text = title + table(rows) + NOTE + (BESIDE + beside if beside else "")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)
    print("Written:", options.out)
    different = sum(figures.differing for _, figures in rows)
    if different:
        raise SystemExit(f"{different} integers differ from the simulation.")


def _main(program, vectors):
    """A program that calls the model on the vectors, compares, and prints what it needs."""
    edges = [(e, vectors.inputs[e.label], "given") for e in program.inputs]
    edges += [(e, vectors.outputs[e.label], "expected") for e in program.outputs]
    tables, compare, arguments = [], [], []
    for edge, values, what in edges:
        size, kind = edge.view.size, C_TYPES[edge.view.dtype.name]
        numbers = ", ".join(map(str, values.reshape(-1).astype(int)))
        tables.append(f"static const {kind} {what}_{edge.argument}[] = {{{numbers}}};")
        if what == "given":
            arguments.append(f"given_{edge.argument} + call * {size}")
            continue
        tables.append(f"static {kind} {edge.argument}[{size}];")
        arguments.append(edge.argument)
        compare.append(
            f"for (k = 0; k < {size}; ++k) {{ "
            f"differing += {edge.argument}[k] != expected_{edge.argument}[call * {size} + k]; }}"
        )
    verb, reset = ("step", "net_reset(&state);") if program.states else ("run", "")
    call = f"net_{verb}(&state, {', '.join(arguments)})"
    calls = vectors.samples * vectors.steps
    again = f"if (call % {vectors.steps} == 0) {{ {reset} }}"
    return f"""#include "board.h"
#include "net.h"

static net_state state;
{chr(10).join(tables)}

int main(void)
{{
    uint32_t differing = 0;
    int call;
    int k;
    board_start();
    board_spin({SPINS});
    board_print("spin", board_ticks());
    {again.replace("call", "0")}
    board_paint_stack();
    call = 0;
    (void){call};
    board_print("stack", board_stack_used());
    for (call = 0; call < {calls}; ++call) {{
        {again}
        (void){call};
        {" ".join(compare)}
    }}
    {again.replace("call", "0")}
    board_start();
    for (call = 0; call < {calls}; ++call) {{
        (void){call};
    }}
    board_print("ticks", board_ticks());
    board_print("calls", {calls});
    board_print("state", sizeof state);
    board_print("differing", differing);
    return 0;
}}
"""


def _flash(path):
    """Returns the bytes of code and of constants in an object file."""
    code = constants = 0
    for name, size in re.findall(
        r"^(\S+)\s+(\d+)\s+\d+$", _run(["arm-none-eabi-size", "-A", str(path)]), re.M
    ):
        code += int(size) if name.startswith(".text") else 0
        constants += int(size) if name.startswith((".rodata", ".data")) else 0
    return code, constants


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()

"""`CMSIS_NN=folder python -m benchmarks.cmsis_nn`: CMSIS-NN's matrix-vector products beside those of `write_c`.

`folder` is a checkout of https://github.com/ARM-software/CMSIS-NN. One product of 32 units and 32 inputs, rounded to
its result, on an emulated Cortex-M4: instructions as `benchmarks.firmware` counts them, and how many results differ
from NumPy's.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import firmware
from keras_vrnn.firmware import kernels, products
from keras_vrnn.firmware.source import table
from keras_vrnn.quantization import fixed_point as fixed

UNITS, CALLS = 32, 100
SIGNATURE = "void net_run(const int{bits}_t *x, int{bits}_t *y)"
OURS = """
{{
    int32_t sums[{units}];
    sums{bits}(x, {units}, weights, bias, {units}, sums);
    for (int32_t i = 0; i < {units}; ++i) {{
        y[i] = (int{bits}_t)saturated{bits}({scaled});
    }}
}}
"""
THEIRS = "\n{{\n    (void){function}({arguments});\n}}\n"
SUMS = """
static void sums8(const int8_t *x, int32_t inputs, const int8_t *w, const int32_t *start, int32_t units, int32_t *sums)
{{
    memcpy(sums, start, {units} * sizeof *sums);
    (void){function}(x, w, sums, 1, inputs, units, 0, 1);
}}
"""
SCALED8 = "halved(high_near(sums[i], multipliers[i]), -1 - shifts[i])"
SCALED16 = "scaled_long(sums[i], {multiplier}, 15 - {shift})"
PER_UNIT = "x, weights, bias, bias, y, 0, 0, multipliers, shifts, {units}, {units}, -128, 127, 1, 0"
ONE_SCALE = "x, weights, wide_bias, y, {multiplier}, {shift}, {units}, {units}, -32768, 32767"
# way -> bits of x, the functions of `kernels`, the text.
WAYS = {
    "write_c, int8": (8, ("sums8", "high_near", "halved", "saturated8"), SIGNATURE + OURS),
    "arm_nn_vec_mat_mult_t_per_ch_s8": (8, (), SIGNATURE + THEIRS),
    "arm_nn_mat_mult_nt_t_s8_s32, rounded as by write_c": (
        8,
        ("high_near", "halved", "saturated8"),
        SUMS + SIGNATURE + OURS,
    ),
    "write_c, int16": (16, ("sums16", "scaled_long", "saturated16"), SIGNATURE + OURS),
    "arm_nn_vec_mat_mult_t_s16": (16, (), SIGNATURE + THEIRS),
}
MAIN = """#include "board.h"
#include "net.h"
{tables}
int main(void)
{{
    static int{bits}_t y[{units}];
    uint32_t differing = 0;
    board_start();
    board_spin({spins});
    board_print("spin", board_ticks());
    board_start();
    for (int call = 0; call < {calls}; ++call) {{
        net_run(given + call * {units}, y);
    }}
    board_print("ticks", board_ticks());
    for (int call = 0; call < {calls}; ++call) {{
        net_run(given + call * {units}, y);
        for (int k = 0; k < {units}; ++k) {{
            differing += y[k] != expected[call * {units} + k];
        }}
    }}
    board_print("calls", {calls});
    board_print("differing", differing);
    return 0;
}}
"""


def measure(way, sources, folder):
    """Returns instructions per call, and how many results differ.

    Args:
        way: a key of `WAYS`.
        sources: the checkout of CMSIS-NN.
        folder: where to write and compile.
    """
    bits, functions, text = WAYS[way]
    sources, folder, limits = Path(sources).resolve(), Path(folder), np.iinfo(f"int{bits}")
    rng = np.random.default_rng(0)
    weights, bias = rng.integers(-127, 128, (UNITS, UNITS)), rng.integers(-4000, 4000, UNITS)
    x = rng.integers(limits.min, limits.max + 1, (CALLS, UNITS))
    sums = x @ weights.T + bias
    largest = np.abs(sums).max(axis=0 if bits == 8 else None, keepdims=True).ravel()
    mantissas, exponents = fixed.factor(1.5 * limits.max / largest)  # some results saturate
    rescale = fixed.scale if bits == 8 else fixed.scale_long
    expected = np.clip(rescale(sums, mantissas, exponents), limits.min, limits.max)

    ours = f"sums{bits}" in functions
    fields = {
        "bits": bits,
        "units": UNITS,
        "calls": CALLS,
        "spins": firmware.SPINS,
        "function": way.split(",")[0],
    }
    fields |= {"multiplier": (int(mantissas[0]) + (1 << 15)) >> 16, "shift": int(exponents[0])}
    fields["scaled"] = (SCALED8 if bits == 8 else SCALED16).format(**fields)
    fields["arguments"] = (PER_UNIT if bits == 8 else ONE_SCALE).format(**fields)
    parts = [
        '#include "net.h"\n#include <string.h>\n',
        "" if ours else f'#include "{sources}/Source/NNSupportFunctions/{fields["function"]}.c"\n',
        table("int8_t", "weights", products.blocks(weights, f"sums{bits}") if ours else weights.ravel()),
        table("int32_t", "bias", bias),
        table("int64_t", "wide_bias", bias),
        table("int32_t", "multipliers", mantissas),
        table("int32_t", "shifts", exponents),
        *kernels.sources(functions),
        text.format(**fields),
    ]
    (folder / "net.h").write_text(f"#include <stdint.h>\n{SIGNATURE.format(**fields)};\n")
    (folder / "net.c").write_text("\n".join(parts))
    vectors = [table(f"int{bits}_t", name, a.ravel()) for name, a in (("given", x), ("expected", expected))]
    (folder / "main.c").write_text(MAIN.format(tables="\n".join(vectors), **fields))
    options = ["-O3", "-std=gnu99", f"-I{sources}/Include", "-Wno-error"]
    core = next(core for core in firmware.CORES if core.name == "Cortex-M4")
    numbers = firmware.run_on_board(core, options, folder)
    return numbers["instructions"], numbers["differing"]


def main():
    sources, missing = os.environ.get("CMSIS_NN"), firmware.missing_tools()
    if missing:
        print(f"Skipped: install the Debian packages {', '.join(missing)}, and run it again.")
        return
    if sources is None:
        print("Skipped: set CMSIS_NN to a checkout of https://github.com/ARM-software/CMSIS-NN.")
        return
    print(
        "| product | instructions | per multiply-accumulate | results that differ |\n| --- | --- | --- | --- |"
    )
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            instructions, differing = measure(way, sources, folder)
        per = instructions / UNITS**2
        print(f"| {way} | {instructions:.0f} | {per:.2f} | {differing} of {CALLS * UNITS} |", flush=True)


if __name__ == "__main__":
    main()

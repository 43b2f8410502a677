"""The text of the C header of a program: sizes, scales, the state, and the functions."""

import numpy as np

from keras_vrnn.firmware.buffers import READ_BEYOND
from keras_vrnn.firmware.source import signature

_FLOAT = """\
#ifdef {upper}_FLOAT
/* Real numbers to integers and back. What is not finite must not be given. */
static inline int32_t {name}_rounded(float real, float scale, int32_t zero_point, int32_t low, int32_t most)
{{
    const float scaled = real / scale;
    const float shifted = scaled + (float)zero_point;
    int32_t whole;
    float rest;
    if (shifted <= (float)low) {{
        return low;
    }}
    if (shifted >= (float)most) {{
        return most;
    }}
    whole = (int32_t)scaled;
    rest = scaled - (float)whole;
    if (rest > 0.5f || (rest == 0.5f && whole % 2 != 0)) {{
        ++whole;
    }} else if (rest < -0.5f || (rest == -0.5f && whole % 2 != 0)) {{
        --whole;
    }}
    return whole + zero_point;
}}
{functions}#endif
"""


def header(program, name, origin):
    """Returns the text of `<name>.h`; arguments as for `source.source`."""
    upper = name.upper()
    parts = [
        f"{origin}\n#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        _macros(program, upper),
        _state(program, name),
        _functions(program, name),
        _FLOAT.format(upper=upper, name=name, functions=_conveniences(program, name)),
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif /* {upper}_H */\n",
    ]
    return "\n".join(part for part in parts if part)


def _macros(program, upper):
    lines = ["/* real = scale * (integer - zero point); without a scale, integers are meant as they are. */"]
    for edge in program.inputs + program.outputs:
        stem = f"{upper}_{edge.argument.upper()}"
        lines.append(f"#define {stem}_SIZE {edge.view.size} /* {printable(edge.label)} */")
        if edge.format is not None:
            lines.append(f"#define {stem}_SCALE {literal(edge.format.scale)}")
            lines.append(f"#define {stem}_ZERO_POINT ({int(edge.format.zero_point)})")
    lines.append(
        f"#define {upper}_MULTIPLICATIONS {program.multiplications} /* multiply-accumulates of one call */"
    )
    return "\n".join(lines) + "\n"


def _state(program, name):
    members = [
        f"    {edge.type} {edge.argument}[{edge.view.size + READ_BEYOND}]; /* {printable(edge.label)} */"
        for edge in program.states
    ]
    kinds = sorted(program.scratch.items(), key=lambda item: -item[0].itemsize)
    members += [f"    {kind.name}_t work_{kind.name}[{size}];" for kind, size in kinds if size]
    members = members or ["    int8_t work_int8[1];"]
    what = "What lasts from step to step, and memory to work in" if program.states else "Memory to work in"
    return f"/* {what}. */\ntypedef struct {{\n" + "\n".join(members) + f"\n}} {name}_state;\n"


def _functions(program, name):
    text = ""
    if program.states:
        text += "/* Sets the states to where they begin. Call it before the first step. */\n"
        text += f"void {name}_reset({name}_state *state);\n\n"
    what = "one time step" if program.states else "a whole sequence"
    text += (
        f"/* Computes {what}. Arrays must not overlap. Returns 0, or 1 if an index is outside of its table:\n"
    )
    text += f" * then nothing has changed. */\n{signature(program, name)};\n"
    return text


def _conveniences(program, name):
    text = ""
    for edge in program.inputs + program.outputs:
        if edge.format is None:
            continue
        stem, limits = f"{name.upper()}_{edge.argument.upper()}", np.iinfo(edge.view.dtype)
        ends = f"{limits.min}, {limits.max}"
        if edge in program.inputs:
            text += (
                f"\nstatic inline {edge.type} {name}_quantize_{edge.argument}(float real)\n{{\n"
                f"    return ({edge.type}){name}_rounded(real, {stem}_SCALE, {stem}_ZERO_POINT, {ends});\n}}\n"
            )
        else:
            text += (
                f"\nstatic inline float {name}_dequantize_{edge.argument}({edge.type} held)\n{{\n"
                f"    return {stem}_SCALE * (float)(held - {stem}_ZERO_POINT);\n}}\n"
            )
    return text


def printable(label):
    """Returns a name of the file that cannot end the comment that it stands in."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "*/\\?" else "_" for c in label)


def literal(value):
    """Returns the shortest C literal of a float32."""
    digits = str(np.float32(value))
    return digits + ("f" if any(c in digits for c in ".e") else ".0f")

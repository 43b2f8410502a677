"""The text of the C source of a program."""

from keras_vrnn.firmware import kernels
from keras_vrnn.firmware.statements import Statements, uses
from keras_vrnn.quantization.integer import LOGISTIC_TABLE

_PER_LINE = 20


def constant(buffer):
    """Returns the definition of a constant."""
    return table(f"{buffer.stored.name}_t", buffer.name, buffer.array)


def table(kind, name, array):
    """Returns the definition of an array of integers."""
    values = [str(int(n)) if n > -(2**31) else "INT32_MIN" for n in array]
    rows = [", ".join(values[k : k + _PER_LINE]) for k in range(0, len(values), _PER_LINE)]
    body = ",\n    ".join(rows)
    return f"static const {kind} {name}[{len(values)}] = {{\n    {body}\n}};\n"


def source(program, name, origin):
    """Returns the text of `<name>.c`.

    Args:
        program: what it computes.
        name: the name with which its public names begin.
        origin: a comment that tells where it comes from.
    """
    writer = Statements(program)
    checks = writer.checks()
    lines = checks + writer.body(program.body) + writer.ends(program.carries) + writer.results()
    unused = [
        name
        for name in ("state", *(e.argument for e in program.inputs))
        if not any(uses(s, name) for s in lines)
    ]
    body = "\n".join("    " + line for line in [f"(void){name};" for name in unused] + lines)
    parts = [
        f'{origin}\n#include "{name}.h"\n\n#include <string.h>\n',
        f"/* Shifts to the right must keep the sign. */\ntypedef char {name}_keeps_sign[(-1 >> 1) == -1 ? 1 : -1];\n",
    ]
    parts += [constant(buffer) for buffer in program.constants if uses(body, buffer.name)]
    functions = kernels.sources(writer.functions)
    if "between" in kernels.closure(writer.functions):
        parts.append(table("uint16_t", "logistic_table", LOGISTIC_TABLE))
    parts += functions
    if program.states:
        reset = "\n".join("    " + line for line in writer.starts())
        parts.append(f"void {name}_reset({name}_state *state)\n{{\n{reset}\n}}\n")
    parts.append(f"{signature(program, name)}\n{{\n{body}\n    return 0;\n}}\n")
    return "\n".join(parts)


def signature(program, name):
    """Returns the head of the function that computes."""
    given = [f"{name}_state *state"]
    given += [f"const {edge.type} *{edge.argument}" for edge in program.inputs]
    given += [f"{edge.type} *{edge.argument}" for edge in program.outputs]
    verb = "step" if program.states else "run"
    return f"int {name}_{verb}({', '.join(given)})"

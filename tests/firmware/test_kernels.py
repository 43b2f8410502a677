"""The C functions: each compiles alone with what it needs, and none comes before what it calls."""

import re

import firmware
import pytest

from keras_vrnn.firmware import kernels


@pytest.mark.parametrize("name", kernels.FUNCTIONS)
def test_each_function_comes_with_what_it_needs(name, tmp_path):
    table = (
        "static const uint16_t logistic_table[256] = {1};\n" if "between" in kernels.closure([name]) else ""
    )
    # Unused functions are no error here; missing ones are.
    command = [firmware.compiler("gcc"), *firmware.STRICT, "-Wno-unused-function", "-Wno-unused-macros", "-c"]
    text = "#include <stdint.h>\n#include <string.h>\n" + table + "\n".join(kernels.sources([name]))
    (tmp_path / "functions.c").write_text(text + "\ntypedef int nothing;\n")
    firmware.compiled(tmp_path, ["functions.c"], command)


def test_functions_are_in_order():
    done = set()
    for name, (needs, _) in kernels.FUNCTIONS.items():
        assert set(needs) <= done, name
        done.add(name)


def test_there_is_no_unbounded_loop_and_no_recursion():
    for name, (_, source) in kernels.FUNCTIONS.items():
        assert "goto" not in source
        assert "for (;;)" not in source
        assert len(re.findall(rf"\b{name}\(", source)) <= 1, name

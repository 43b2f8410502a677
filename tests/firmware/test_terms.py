"""Terms: their bounds hold, and each C form is chosen only where it is exact."""

import subprocess

import firmware
import numpy as np
import pytest

from keras_vrnn.firmware import kernels, terms
from keras_vrnn.firmware.buffers import Unsupported
from keras_vrnn.quantization import fixed_point as fixed
from keras_vrnn.quantization.formats import Quantization


def evaluated(term, values, folder):
    """Compiles a term of one variable and returns its values."""
    lines, names, needs = [], {}, set()

    def visit(part):
        if id(part) in names:
            return
        for inner in part.parts:
            visit(inner)
        names[id(part)] = f"v{len(names)}"
        form = part.form.format(*(names[id(inner)] for inner in part.parts)) if part.form else "x"
        lines.append(f"        const int32_t {names[id(part)]} = {form};")
        needs.update(part.needs)

    visit(term)
    source = "#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n" + "\n".join(
        kernels.sources(needs)
    )
    source += "int main(void)\n{\n    int32_t x;\n    while (fread(&x, sizeof x, 1, stdin) == 1) {\n"
    source += (
        "\n".join(lines)
        + f"\n        (void)fwrite(&{names[id(term)]}, sizeof x, 1, stdout);\n    }}\n    return 0;\n}}\n"
    )
    (folder / "term.c").write_text(source)
    program = firmware.compiled(folder, ["term.c"], firmware.gcc())
    done = subprocess.run([str(program)], input=np.int32(values).tobytes(), capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.int32)


def variable(low, high):
    return terms.Term("", (), low, high)


def draws(low, high):
    inside = np.random.default_rng(1).integers(low, high + 1, 2000)
    return np.concatenate([inside, [low, low + 1, high - 1, high]])


@pytest.mark.parametrize("reach", [255, (1 << 30) - 1, 1 << 30, (1 << 31) - 1])
@pytest.mark.parametrize("exponent", [-31, -9, -1, 0, 1, 5])
def test_scaled(reach, exponent, tmp_path):
    for mantissa in (1 << 30, 1500000001, (1 << 31) - 1):
        made = terms.scaled(variable(-reach, reach), mantissa, exponent)
        x = draws(-reach, reach)
        expected = fixed.scale(x, mantissa, exponent)
        np.testing.assert_array_equal(evaluated(made, x, tmp_path), expected)
        assert made.low <= expected.min()
        assert expected.max() <= made.high


@pytest.mark.parametrize("shift", [0, 1, 4, 30, 31])
@pytest.mark.parametrize("reach", [100, (1 << 31) - 1])
def test_rounded(shift, reach, tmp_path):
    x = np.concatenate([draws(-reach, reach), np.arange(-40, 41)])
    made = terms.rounded(variable(-reach, reach), shift)
    np.testing.assert_array_equal(evaluated(made, x, tmp_path), fixed.divide_by_power(x, shift))


@pytest.mark.parametrize("exponent", [-20, 0, 10])
def test_scaled_long(exponent, tmp_path):
    reach = 1 << (20 - max(exponent, 0))
    x = draws(-reach, reach)
    made = terms.scaled_long(variable(-reach, reach), 2000000001, exponent)
    np.testing.assert_array_equal(evaluated(made, x, tmp_path), fixed.scale_long(x, 2000000001, exponent))


@pytest.mark.parametrize("exponents", [[-3, -3], [-1, -8], [0, -2], [2, -1]])
def test_a_factor_for_each_column(exponents, tmp_path):
    mantissas, exponents = np.array([1234567890, 2000000000]), np.array(exponents)
    x = draws(-(1 << 20), 1 << 20)
    for column in range(2):
        made = terms.scaled_by_column(
            variable(-(1 << 20), 1 << 20), mantissas, exponents, lambda a, k=column: terms.number(a[k])
        )
        expected = fixed.scale(x, mantissas[column], exponents[column])
        np.testing.assert_array_equal(evaluated(made, x, tmp_path), expected)


@pytest.mark.parametrize("limits", [(-128, 127), (-32768, 32767), (-5, 90)])
def test_clamped(limits, tmp_path):
    x = draws(-100000, 100000)
    made = terms.clamped(variable(-100000, 100000), limits)
    np.testing.assert_array_equal(evaluated(made, x, tmp_path), np.clip(x, *limits))
    assert terms.clamped(made, limits) is made


def test_what_overflows_is_refused():
    with pytest.raises(Unsupported, match="overflow 32 bits"):
        terms.plus(variable(0, 2**31 - 1), 1)
    with pytest.raises(Unsupported, match="overflow 32 bits"):
        terms.times(variable(-(1 << 20), 0), 1 << 12)
    with pytest.raises(Unsupported, match=r"more than 2\^14"):
        terms.scaled_long(variable(-1, 1), 1 << 30, 15)


def test_limits_of_fused_activations():
    q = Quantization(0.1, -100)
    assert terms.limits_of(q, np.dtype("int8")) == (-128, 127)
    assert terms.limits_of(q, np.dtype("int8"), "RELU") == (-100, 127)
    assert terms.limits_of(q, np.dtype("int8"), "RELU6") == (-100, -40)
    assert terms.limits_of(q, np.dtype("int8"), "RELU_N1_TO_1") == (-110, -90)

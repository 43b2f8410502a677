"""The header: its conveniences round as the runners do, and no label can end a comment."""

import subprocess

import firmware
import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware.header import literal, printable
from keras_vrnn.firmware.program import program_of
from keras_vrnn.tflite.running.engines import dequantize, quantize

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
MAIN = """#include <stdio.h>
#define NET_FLOAT
#include "net.h"

int main(void)
{
    float real;
    while (fread(&real, sizeof real, 1, stdin) == 1) {
        const int16_t held = net_quantize_in_x(real);
        const float back = net_dequantize_out_y(OUT(held));
        (void)fwrite(&held, sizeof held, 1, stdout);
        (void)fwrite(&back, sizeof back, 1, stdout);
    }
    return 0;
}
"""


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_conveniences_round_as_the_runner_does(quantization, tmp_path):
    inputs = keras.Input((4, 3), name="x")
    layer = kv.VanillaRNN(6, return_sequences=True, name="y")
    path = tmp_path / "m.tflite"
    export(keras.Model(inputs, layer(inputs)), path, X, form="streaming", quantization=quantization)
    runner = kv.tflite.Runner(path)
    given, made = runner.input_details["x"], next(iter(runner.output_details.values()))
    kv.tflite.write_c(path, tmp_path, name="net")
    kind = "int8_t" if quantization == "int8" else "int16_t"
    (tmp_path / "main.c").write_text(f"#include <stdint.h>\n#define OUT(x) (({kind})(x))\n" + MAIN)
    program = firmware.compiled(tmp_path, ["main.c", "net.c"], firmware.gcc())
    scale = np.float32(given["quantization"][0])
    halves = (np.arange(-40, 40, dtype=np.float32) + np.float32(0.5)) * scale
    real = np.concatenate([halves, np.random.default_rng(1).normal(0, 9, 3000), [1e30, -1e30, 0]])
    real = real.astype(np.float32)
    done = subprocess.run([str(program)], input=real.tobytes(), capture_output=True, check=True)
    pairs = np.frombuffer(done.stdout, np.dtype([("held", "<i2"), ("back", "<f4")]))
    expected = quantize(real, given)
    np.testing.assert_array_equal(pairs["held"], expected)
    np.testing.assert_array_equal(pairs["back"], dequantize(expected, made))


FLOAT_MAIN = """#include <stdio.h>
#define NET_FLOAT
#include "net.h"

int main(void)
{
    static net_state state;
    float real[NET_IN_X_SIZE];
    NUMBER x[NET_IN_X_SIZE];
    NUMBER y[NET_OUT_Y_SIZE];
    int k;
    while (fread(real, sizeof real, 1, stdin) == 1) {
        for (k = 0; k < NET_IN_X_SIZE; ++k) {
            x[k] = net_quantize_in_x(real[k]);
        }
        if (net_run(&state, x, y) != 0) {
            return 1;
        }
        for (k = 0; k < NET_OUT_Y_SIZE; ++k) {
            const float back = net_dequantize_out_y(y[k]);
            (void)fwrite(&back, sizeof back, 1, stdout);
        }
    }
    return 0;
}
"""


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_a_file_of_real_numbers_becomes_its_integers_and_conveniences(quantization, tmp_path):
    """Every bit of the outputs: as the file's QUANTIZE, halves are rounded away from zero."""
    inputs = keras.Input((4, 3), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True, name="y")(inputs))
    path = tmp_path / "m.tflite"
    export(model, path, X, quantization=quantization, io="float32")
    kv.tflite.write_c(path, tmp_path, name="net")
    kind = "int8_t" if quantization == "int8" else "int16_t"
    (tmp_path / "main.c").write_text(f"#include <stdint.h>\n#define NUMBER {kind}\n" + FLOAT_MAIN)
    program = firmware.compiled(tmp_path, ["main.c", "net.c"], firmware.gcc())
    scale = np.float32(program_of(path).inputs[0].format.scale)
    halves = (np.arange(-60, 60, dtype=np.float32).reshape(10, 4, 3) + np.float32(0.5)) * scale
    real = np.concatenate([halves, np.random.default_rng(1).normal(0, 2, (500, 4, 3))]).astype(np.float32)
    done = subprocess.run([str(program)], input=real.tobytes(), capture_output=True, check=True)
    made = np.frombuffer(done.stdout, np.float32).reshape(510, 4, 6)
    np.testing.assert_array_equal(made, kv.tflite.simulate(path, real))


def test_labels_cannot_end_a_comment():
    assert printable("a*/b\\\n?é") == "a__b____"


def test_literals_are_the_shortest_of_their_float32():
    assert [literal(x) for x in (1.0, 0.1, 2.0**-15, 1e-9)] == ["1.0f", "0.1f", "3.0517578e-05f", "1e-09f"]

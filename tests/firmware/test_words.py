"""Cards in C: whatever the words are, the header compiles and gives them back byte by byte."""

import subprocess

import firmware
import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv
from keras_vrnn.firmware import words
from keras_vrnn.tflite.card import Card
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile
from keras_vrnn.tflite.running.engines import quantize

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
ODD = ['a"b\\c??/ */ ü', "日本 // /* ??)", "\u202eevil %s {0} \\" + "x" * 900]
CARD = Card(
    name="ge*/st??/ure\\",
    version='1.0"\\',
    description="*/ int x; /*/ text??/\nC:\\dir\\\n??/\n/\n  é " + "long " * 200,
    author="\\",
    features=["a", "b", "c"],
    classes=ODD,
    mean=[0.5, -1, 2e-5],
    std=[2, 3, 0.1],
    figures={"*/": "??/"},
)
MAIN = """#include <stdio.h>
#define NET_FLOAT
#include "net.h"

static const char *const names[] = NET_OUT_Y_NAMES;

int main(void)
{
    float readings[NET_IN_X_SIZE];
    int8_t x[NET_IN_X_SIZE];
    int k;
    printf("%s\\n", NET_VERSION);
    for (k = 0; k < NET_OUT_Y_SIZE; ++k) {
        printf("%s\\n", names[k]);
    }
    while (fread(readings, sizeof readings, 1, stdin) == 1) {
        net_normalize_in_x(readings, x);
        (void)fwrite(x, sizeof x, 1, stdout);
    }
    return 0;
}
"""


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_odd_words_compile_and_readings_are_normalized_as_in_python(language, tmp_path):
    inputs = keras.Input((4, 3), name="x")
    h = kv.VanillaRNN(6, return_sequences=True)(inputs)
    path = tmp_path / "m.tflite"
    model = keras.Model(inputs, keras.layers.Dense(3, name="y")(h))
    export(model, path, X, form="streaming", card=CARD)
    kv.tflite.write_c(path, tmp_path, name="net")
    if language == "c99":
        commands = [firmware.gcc(), firmware.clang()]
    else:
        strict = [flag for flag in firmware.STRICT if not flag.startswith("-std")]
        commands = [[firmware.compiler("g++"), "-std=c++11", *strict, "-x", "c++"]]
    (tmp_path / "main.c").write_text(MAIN)
    runner = kv.tflite.Runner(path)
    readings = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    given = kv.tflite.Runner(path).input_details["x"]
    expected = quantize(runner.card.normalized(readings), given)
    for command in commands:
        program = firmware.compiled(tmp_path, ["main.c"], command)
        done = subprocess.run([str(program)], input=readings.tobytes(), capture_output=True, check=True)
        head = "".join(f"{line}\n" for line in [CARD.version, *ODD]).encode()
        assert done.stdout[: len(head)] == head
        made = np.frombuffer(done.stdout[len(head) :], np.int8).reshape(-1, 3)
        np.testing.assert_array_equal(made, expected)


def test_a_file_that_lost_its_names_is_refused(tmp_path):
    """A program that writes the model anew leaves out the archive behind it."""
    inputs = keras.Input((4, 3), name="x")
    path = tmp_path / "m.tflite"
    export(keras.Model(inputs, kv.VanillaRNN(3)(inputs)), path, X, card=Card(classes=["a", "b", "c"]))
    path.write_bytes(ModelFile(path.read_bytes()).pack())
    with pytest.raises(
        ValueError, match=r"`path_or_model` must be a file whose metadata can be read.*copy it again"
    ):
        kv.tflite.write_c(path, tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_a_comment_keeps_its_words():
    text = words.comment(
        Card(name="m", version="2", description="and/or", training_data="a\nb", figures={"n": 3})
    )
    assert text == "/* m 2\n * and/or\n * Trained on: a\n * b\n * n: 3\n */\n"
    assert words.comment(Card(classes=["a"])) == ""


def test_lists_are_wrapped_between_their_items():
    assert words.initializer("M", ["1", "2"]) == "#define M {1, 2}"
    long = words.initializer("M", [f"{k}.0f" for k in range(100)])
    assert max(map(len, long.splitlines())) <= 120
    assert long.count("0f") == 100

"""The C sources of whole models, compiled and run: every integer against the simulation, and what is refused."""

import random
import subprocess

import firmware
import keras
import numpy as np
import pytest
from damage import damage
from exported_models import randomize
from keras import layers
from micro_operators import both, options
from simulated import export

import keras_vrnn as kv
from keras_vrnn.quantization.formats import Quantization
from keras_vrnn.tflite import digest
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile
from keras_vrnn.tflite.micro.interpreter import MicroRunner, is_installed
from keras_vrnn.tflite.running.simulator import _Simulation

RNG = np.random.default_rng(11)
T, F = 7, 5
X = RNG.normal(size=(8, T, F)).astype(np.float32)
X[:3, 4:] = 0  # masked, where there is a mask
IDS = RNG.integers(0, 20, (8, T)).astype(np.int32)


def rnn(units, **settings):
    return kv.VanillaRNN(units, **settings)


def layer(**settings):
    inputs = keras.Input((T, F), name="x")
    return keras.Model(inputs, rnn(6, return_sequences=True, **settings)(inputs)), X


def masked_stack():
    inputs = keras.Input((T, F), name="x")
    h = kv.StackedVanillaRNN([6, 9])(layers.Masking()(inputs))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(h)), X


def both_directions():
    inputs = keras.Input((T,), dtype="int32", name="ids")
    h = layers.Bidirectional(rnn(6, activation="relu"))(layers.Embedding(20, 5, mask_zero=True)(inputs))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h)), IDS


def convolution():
    inputs = keras.Input((T, F), name="x")
    h = layers.Conv1D(8, 3, activation="relu", padding="causal")(inputs)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(rnn(7, return_sequences=True)(h))), X


def two_layers():
    inputs = keras.Input((T, F), name="x")
    h = rnn(7, return_sequences=True, activation="sigmoid")(rnn(6, return_sequences=True)(inputs))
    return keras.Model(inputs, layers.Dense(2)(h)), X


def pooled():
    """Windows beyond the ends and with gaps, poolings over windows and over all steps."""
    inputs = keras.Input((T, F), name="x")
    h = layers.Conv1D(6, 3, padding="same", activation="relu")(inputs)
    h = layers.MaxPooling1D(2, strides=1)(layers.Conv1D(5, 2, dilation_rate=2)(h))
    h = layers.AveragePooling1D(2)(rnn(6, return_sequences=True)(h))
    both = layers.Concatenate()([layers.GlobalAveragePooling1D()(h), layers.GlobalMaxPooling1D()(h)])
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(both)), X


MODELS = {
    "layer": layer,
    "relu": lambda: layer(activation="relu"),
    "backwards": lambda: layer(go_backwards=True),
    "masked stack": masked_stack,
    "both directions": both_directions,
    "convolution": convolution,
    "pooled": pooled,
}
STREAMS = {"layer": layer, "two layers": two_layers, "sigmoid": lambda: layer(activation="sigmoid")}


def exported(build, path, **settings):
    """Exports a model of random weights; returns its data."""
    model, x = build()
    export(randomize(model, 3), path, x, **settings)
    return x


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    path = tmp_path_factory.mktemp("firmware") / "stream.tflite"
    exported(layer, path, form="streaming")
    return path


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("name", ["masked stack", "both directions", "pooled"])
def test_sequences(name, quantization, tmp_path):
    x = exported(MODELS[name], tmp_path / "m.tflite", quantization=quantization)
    for command in (firmware.gcc(), firmware.clang()):
        different, count = firmware.differing(tmp_path / "m.tflite", x, tmp_path, command)
        assert different == 0
        assert count >= 8


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["int8", "int16x8", "int8x4"])
@pytest.mark.parametrize("name", MODELS)
def test_more_sequences(name, quantization, tmp_path):
    x = exported(MODELS[name], tmp_path / "m.tflite", quantization=quantization)
    for command in (firmware.gcc(), firmware.clang()):
        different, count = firmware.differing(tmp_path / "m.tflite", x, tmp_path, command)
        assert different == 0
        assert count >= 8


@pytest.mark.parametrize("state", ["explicit", "internal"])
@pytest.mark.parametrize("quantization", ["int8", "int16x8", "int8x4"])
@pytest.mark.parametrize("name", STREAMS)
def test_streams(name, quantization, state, tmp_path):
    settings = {"form": "streaming", "state": state, "quantization": quantization}
    x = exported(STREAMS[name], tmp_path / "m.tflite", **settings)
    different, count = firmware.differing(tmp_path / "m.tflite", x, tmp_path, firmware.gcc())
    assert different == 0
    assert count >= 8 * T


@pytest.mark.parametrize("state", ["explicit", "internal"])
def test_real_numbers_at_the_edges(state, tmp_path):
    x = exported(layer, tmp_path / "m.tflite", form="streaming", io="float32", state=state)
    different, count = firmware.differing(tmp_path / "m.tflite", x, tmp_path, firmware.gcc())
    assert different == 0
    assert count >= 8 * T


@pytest.mark.parametrize("form", ["sequence", "unrolled", "streaming"])
def test_several_sequences_a_call(form, tmp_path):
    x = exported(layer, tmp_path / "m.tflite", form=form, batch_size=2)
    different, count = firmware.differing(tmp_path / "m.tflite", x, tmp_path, firmware.gcc())
    assert different == 0
    assert count >= 8 * T


@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_levels_of_optimization(level, stream, tmp_path):
    command = [firmware.compiler("gcc"), *firmware.STRICT, level]
    assert firmware.differing(stream, X, tmp_path, command)[0] == 0


def test_two_models_in_one_program_also_of_cplusplus(stream, tmp_path):
    compiler = firmware.compiler("g++")
    for name in ("first", "second"):
        kv.tflite.write_c(stream, tmp_path, name=name)
        subprocess.run(
            [firmware.compiler("gcc"), "-c", f"{name}.c", "-o", f"{name}.o"], cwd=tmp_path, check=True
        )
    (tmp_path / "main.cc").write_text(
        '#define FIRST_FLOAT\n#include "first.h"\n#include "second.h"\n'
        "int main() {\n  static first_state a;\n  static second_state b;\n  int8_t x[5] = {}, y[6], z[6];\n"
        "  first_reset(&a);\n  second_reset(&b);\n"
        "  if (first_step(&a, x, y) != 0 || second_step(&b, x, z) != 0) return 1;\n"
        "  for (int k = 0; k < 6; ++k) if (y[k] != z[k]) return 2;\n  return 0;\n}\n"
    )
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion"]
    command = [compiler, *flags, "main.cc", "first.o", "second.o", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    subprocess.run([str(tmp_path / "program")], check=True)


def test_an_index_outside_of_its_table_changes_nothing(tmp_path):
    inputs = keras.Input((T,), dtype="int32", name="ids")
    model = keras.Model(inputs, rnn(4, return_sequences=True)(layers.Embedding(20, 3)(inputs)))
    export(model, tmp_path / "m.tflite", IDS, form="streaming")
    kv.tflite.write_c(tmp_path / "m.tflite", tmp_path, name="net")
    (tmp_path / "main.c").write_text(
        '#include <string.h>\n#include "net.h"\n'
        "int main(void)\n{\n    static net_state state;\n    net_state before;\n    int8_t y[4] = {9, 9, 9, 9};\n"
        "    const int32_t ids[] = {-1, 20, 2147483647, 19};\n    int k;\n    net_reset(&state);\n"
        "    memcpy(&before, &state, sizeof state);\n    for (k = 0; k < 3; ++k) {\n"
        "        if (net_step(&state, &ids[k], y) != 1) {\n            return 1;\n        }\n    }\n"
        "    if (memcmp(&before, &state, sizeof state) != 0 || y[0] != 9) {\n        return 2;\n    }\n"
        "    return net_step(&state, &ids[3], y);\n}\n"
    )
    program = firmware.compiled(tmp_path, ["main.c", "net.c"], firmware.gcc())
    subprocess.run([str(program)], check=True)


def test_an_operator_that_c_lacks_is_refused_by_name(tmp_path):
    path, given = tmp_path / "m.tflite", [(np.ones((2, 5), np.int8), Quantization(0.05, 3))]
    both(path, "L2_NORMALIZATION", given, (2, 5), "int8", Quantization(1 / 128, 0), options("L2Norm"))
    with pytest.raises(
        ValueError, match=r"which holds the operator L2_NORMALIZATION\. Run it with TFLite Micro"
    ):
        kv.tflite.write_c(path, tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "float16"])
def test_files_of_real_numbers_are_refused(quantization, tmp_path):
    exported(layer, tmp_path / "m.tflite", quantization=quantization)
    with pytest.raises(ValueError, match="`path_or_model` must be something that can become C"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_requests_that_cannot_succeed_are_refused_before_any_work(stream, tmp_path):
    for name in ("int", "a-b", "", "9lives", "NET", "x__y"):
        with pytest.raises(ValueError, match="`name` must be"):
            kv.tflite.write_c(stream, tmp_path, name=name)
    with pytest.raises(FileNotFoundError, match="`path_or_model` must be a file that exists"):
        kv.tflite.write_c(tmp_path / "none.tflite", tmp_path / "sources")
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(stream.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        kv.tflite.write_c(damaged, tmp_path / "sources")
    assert not (tmp_path / "sources").exists()


def test_damaged_files_without_a_digest_are_refused_by_one_error_or_are_models(stream, tmp_path):
    """Where a digest does not show the damage: no other exception, no half-written folder."""
    pick, kinds = random.Random(3), set()
    file = ModelFile(stream.read_bytes())
    file.model.metadata = []
    content, path = file.pack().replace(digest._MARK, bytes(len(digest._MARK))), tmp_path / "m.tflite"
    for number in range(150):
        path.write_bytes(damage(content, pick))
        folder = tmp_path / str(number)
        try:
            kv.tflite.write_c(path, folder)
        except ValueError as error:
            kinds.add(str(error)[:40])
            assert not folder.exists()
        else:
            assert sorted(entry.name for entry in folder.iterdir()) == ["model.c", "model.h"]
    assert len(kinds) > 1


def test_files_are_replaced_only_on_request(stream, tmp_path):
    made = kv.tflite.write_c(stream, tmp_path / "a" / "b")
    assert [path.name for path in made] == ["model.h", "model.c"]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        kv.tflite.write_c(stream, tmp_path / "a" / "b")
    assert kv.tflite.write_c(stream, tmp_path / "a" / "b", overwrite=True) == made
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["model.c", "model.h"]


def test_sources_need_no_library_and_no_real_numbers(stream, tmp_path):
    header, source = (path.read_text() for path in kv.tflite.write_c(stream, tmp_path))
    included = [line for line in (header + source).splitlines() if line.startswith("#include <")]
    assert sorted(set(included)) == ["#include <stdint.h>", "#include <string.h>"]
    assert "float" not in source
    assert "double" not in source
    assert "alloc" not in source


def test_odd_names_and_a_long_sequence(tmp_path):
    inputs = keras.Input((3000, 2), name="x")
    model = randomize(keras.Model(inputs, rnn(3)(inputs)), 1)
    x = RNG.normal(size=(1, 3000, 2)).astype(np.float32)
    path = tmp_path / "wörld *.tflite"
    export(model, path, x)
    assert firmware.differing(path, x, tmp_path, firmware.gcc())[0] == 0


def test_the_type_of_a_tensor_that_c_lacks_is_named(tmp_path):
    path = tmp_path / "m.tflite"
    both(path, "CAST", [(np.ones((2, 3), np.int32), None)], (2, 3), "float32", None, options("Cast"))
    with pytest.raises(ValueError, match="float32"):
        kv.tflite.write_c(path, tmp_path)


def any_length(build):
    inputs = keras.Input((None, F), name="x")
    return keras.Model(inputs, build(inputs))


ANY_LENGTH = {
    "two layers": lambda x: layers.Dense(3, activation="softmax")(
        rnn(6, return_sequences=True)(kv.VanillaRNN(7, return_sequences=True)(x))
    ),
    "gru, last state": lambda x: layers.Dense(2)(layers.GRU(5)(x)),
    "masked": lambda x: rnn(6, return_sequences=True)(layers.Masking()(x)),
}


@pytest.mark.parametrize("name", ANY_LENGTH)
def test_any_number_of_steps(name, tmp_path):
    """Also beyond the steps that count, C leaves what TFLite Micro leaves."""
    path = tmp_path / "m.tflite"
    model = randomize(any_length(ANY_LENGTH[name]), 3)
    export(model, path, X, timesteps=None, quantization="int16x8" if name == "masked" else "int8")
    for steps in (1, 5, T):
        different, count = firmware.differing(path, X[:, :steps], tmp_path, firmware.gcc())
        assert (different, count > 0) == (0, True)
    assert "const int32_t *in_length" in (tmp_path / "net.h").read_text()


def test_lengths_that_no_sequence_has(tmp_path):
    """None, fewer, and more than there are: a loop must not read beyond its arrays."""
    path, lengths = tmp_path / "m.tflite", [0, -3, 2**31 - 1, T + 1, 3]
    export(randomize(any_length(ANY_LENGTH["two layers"]), 3), path, X, timesteps=None)
    simulation, expected, given = _Simulation(path), [], b""
    values = RNG.integers(-128, 128, (1, T, F)).astype(np.int8)
    for length in lengths:
        for name, array in (("x", values), ("length", np.array([length], np.int32))):
            simulation.set(simulation.inputs[name], array)
            given += array.tobytes()
        simulation.invoke()
        expected.append(simulation.get(next(iter(simulation.outputs.values()))))
    made = firmware.run(path, tmp_path, given, firmware.gcc(), samples=len(lengths))
    np.testing.assert_array_equal(np.frombuffer(made, np.int8), np.ravel(expected))


def test_steps_counted_from_a_computed_one_are_refused(tmp_path):
    model = randomize(any_length(rnn(6, go_backwards=True)), 3)
    export(model, tmp_path / "m.tflite", X, timesteps=None)
    with pytest.raises(ValueError, match="a WHILE whose number of turns depends on data"):
        kv.tflite.write_c(tmp_path / "m.tflite", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
def test_a_million_outputs_equal_those_of_tflite_micro(tmp_path):
    """The states of 32 units over 31,300 steps: the C program, TFLite Micro's interpreter, and the simulation."""
    inputs = keras.Input((100, 6), name="x")
    model = randomize(keras.Model(inputs, rnn(32, return_sequences=True)(inputs)), 2)
    x = RNG.normal(0, 2, (313, 100, 6)).astype(np.float32)
    path = tmp_path / "m.tflite"
    export(model, path, x, form="streaming")
    different, count = firmware.differing(
        path, x, tmp_path, [firmware.compiler("gcc"), *firmware.STRICT, "-O3"]
    )
    assert (different, count) == (0, 1_001_600)
    np.testing.assert_array_equal(MicroRunner(path)(x), kv.tflite.simulate(path, x))


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("kind", [layers.GRU, layers.LSTM, kv.FastRNN])
@pytest.mark.parametrize("form", ["sequence", "streaming"])
def test_gated_recurrences(kind, form, quantization, tmp_path):
    x = np.random.default_rng(4).normal(size=(4, 9, 5)).astype("float32")
    inputs = keras.Input((9, 5), name="x")
    model = keras.Model(inputs, layers.Dense(3, name="y")(kind(7, return_sequences=True)(inputs)))
    export(randomize(model, 3), tmp_path / "m.tflite", x, quantization=quantization, form=form)
    different, _ = firmware.differing(tmp_path / "m.tflite", x, tmp_path, firmware.gcc())
    assert different == 0

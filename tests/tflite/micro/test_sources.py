"""The C++ sources, compiled and run: the array's bytes, the formats, and the program of export/micro."""

import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tflm_stub

import keras_vrnn as kv
from keras_vrnn.tflite import digest
from keras_vrnn.tflite.micro import interpreter as micro
from keras_vrnn.tflite.micro import operators as micro_operators
from keras_vrnn.tflite.micro import trial as micro_trial
from keras_vrnn.tflite.running.engines import dequantize, quantize

PROGRAM = Path(__file__).parents[3] / "export" / "micro"
X = np.random.default_rng(4).normal(size=(20, 9, 3)).astype(np.float32)

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Quantization -> (streaming file, folder of its sources). One output of the size of input and state."""
    root, made = tmp_path_factory.mktemp("sources"), {}
    model = keras.Sequential([keras.Input((9, 3), name="x"), kv.VanillaRNN(3, return_sequences=True)])
    for quantization in ("int8", "int8x4", "int16x8", "float32"):
        path = root / f"{quantization}.tflite"
        kv.tflite.export(model, path, form="streaming", quantization=quantization, calibration_data=X)
        kv.tflite.write_c_array(path, root / quantization)
        made[quantization] = path, root / quantization
    return made


def run(folder, *sources, stdin="", include=()):
    """Compiles with every warning an error, and returns what the program prints."""
    program = folder / "program"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", *(f"-I{path}" for path in (folder, *include))]
    done = subprocess.run(
        ["g++", *flags, *map(str, sources), "-o", str(program)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return subprocess.run([str(program)], input=stdin.encode(), capture_output=True, check=True).stdout


@needs_compiler
@pytest.mark.parametrize("quantization", ["int8", "int8x4", "float32"])
def test_array_holds_the_bytes_of_the_file(exported, quantization):
    path, folder = exported[quantization]
    main = folder / "print.cc"
    main.write_text(
        '#include <cstdint>\n#include <cstdio>\n#include "model_data.h"\n'
        "int main() {\n  if (reinterpret_cast<std::uintptr_t>(model_data) % 16 != 0) return 1;\n"
        "  return std::fwrite(model_data, 1, model_data_size, stdout) != model_data_size;\n}\n"
    )
    assert run(folder, main, folder / "model_data.cc") == path.read_bytes()


@needs_compiler
def test_array_leaves_out_the_card(exported, tmp_path):
    path, folder = tmp_path / "model.tflite", tmp_path / "c"
    path.write_bytes(exported["int8"][0].read_bytes())
    plain = path.read_bytes()
    kv.tflite.describe(path, kv.tflite.Card(name="gesture", description="of a wrist"))
    kv.tflite.write_c_array(path, folder)
    main = folder / "print.cc"
    main.write_text(
        '#include <cstdio>\n#include "model_data.h"\n'
        "int main() { return std::fwrite(model_data, 1, model_data_size, stdout) != model_data_size; }\n"
    )
    held = run(folder, main, folder / "model_data.cc")
    assert b"gesture" in path.read_bytes()
    assert b"gesture" not in held
    assert digest.is_intact(held)
    assert len(held) <= len(plain)


@needs_compiler
@pytest.mark.parametrize(("quantization", "dtype"), [("int8", "int8_t"), ("int16x8", "int16_t")])
def test_helpers_quantize_as_the_runner_does(exported, quantization, dtype):
    path, folder = exported[quantization]
    main = folder / "formats.cc"
    main.write_text(
        '#include <cstdio>\n#include "model_tensors.h"\nusing namespace model;\nint main() {\n'
        f"  static_assert(sizeof(Input0) == sizeof({dtype}));\n  float x;\n"
        '  while (std::scanf("%f", &x) == 1) {\n'
        "    const Input0 q = Quantize<Input0>(x, kInputs[0]);\n"
        '    std::printf("%d %.9g\\n", q, Dequantize(static_cast<Output0>(q), kOutputs[0]));\n  }\n}\n'
    )
    details = kv.tflite.Runner(path).details
    source, target = details["x"], details[next(n for n in details if "output" in n or "rnn" in n)]
    scale = source["quantization"][0]
    # Halves are rounded to even, and what lies outside is saturated.
    values = np.concatenate([X.ravel(), np.arange(-300, 300) * 0.5 * scale, [1e9, -1e9]]).astype(np.float32)
    printed = run(folder, main, stdin="\n".join(map(repr, values.tolist()))).split()
    integers = quantize(values, source)
    np.testing.assert_array_equal(np.array(printed[::2], int), integers)
    # %.9g gives a float32 exactly.
    np.testing.assert_array_equal(np.array(printed[1::2], np.float32), dequantize(integers, target))


def test_operators_are_exactly_those_used(exported):
    path, folder = exported["int8"]
    source = (folder / "model_ops.h").read_text()
    methods = re.findall(r"resolver\.(Add\w+)\(\)", source)
    expected = {micro_operators.RESOLVER_METHODS[name] for name in kv.tflite.inspect(path).operators}
    assert sorted(methods) == sorted(expected)
    assert f"MicroMutableOpResolver<{len(expected)}>" in source


def test_arena_is_enough_with_the_margin_stated(exported):
    path, folder = exported["int8"]
    source = (folder / "model_tensors.h").read_text()
    size = int(re.search(r"kArenaSize = (\d+)", source)[1])
    smallest = micro.attempt(path, smallest=True).arena.smallest
    # 32: the arena's own start and both roundings to 16.
    assert abs(size - 1.1 * smallest) <= 32
    assert f"// {smallest} ran with TFLite Micro's reference kernels" in source
    assert micro_trial._runs(str(path), size)


@needs_compiler
@pytest.mark.parametrize(("quantization", "dtype"), [("int8", "int8_t"), ("float32", "float")])
def test_program_feeds_steps_and_resets(exported, tmp_path, quantization, dtype):
    """The program against a stand-in for TFLite Micro that sums up what it is fed: y_t = x_1 + … + x_t."""
    path, folder = exported[quantization]
    methods = re.findall(r"resolver\.(Add\w+)\(\)", (folder / "model_ops.h").read_text())
    tflm_stub.write(tmp_path, methods, dtype, 3)
    details = kv.tflite.Runner(path).details
    source, target = details["x"], details[next(n for n in details if "output" in n or "rnn" in n)]
    steps = X[0, :4] * 0.1
    lines = [" ".join(map(repr, row.tolist())) for row in steps]
    printed = run(
        folder,
        PROGRAM / "main.cc",
        folder / "model_data.cc",
        stdin="\n".join([*lines, "reset", *lines[:2]]),
        include=(PROGRAM, tmp_path),
    )
    received = np.array(printed.split(), np.float32).reshape(6, 3)
    sums = np.cumsum(quantize(steps, source), axis=0, dtype=source["dtype"])
    expected = dequantize(sums, target)
    np.testing.assert_array_equal(received, np.concatenate([expected, expected[:2]]))


def test_refusals(exported, tmp_path, monkeypatch):
    path, folder = exported["int8"]
    with pytest.raises(FileExistsError, match=r"model_data.h', which exists"):
        kv.tflite.write_c_array(path, folder)
    kv.tflite.write_c_array(path, folder, overwrite=True)
    with pytest.raises(ValueError, match=r"`name` must be a C\+\+ identifier"):
        kv.tflite.write_c_array(path, tmp_path, name="1")
    with pytest.raises(ValueError, match="`arena` must be a positive integer"):
        kv.tflite.write_c_array(path, tmp_path, arena=0)
    model = keras.Sequential([keras.Input((9, 3)), kv.VanillaRNN(3)])
    kv.tflite.export(model, tmp_path / "f", quantization="float16")
    with pytest.raises(
        ValueError, match=r"DEQUANTIZE: TFLite Micro does not take FLOAT16. Export with quantization='int8'"
    ):
        kv.tflite.write_c_array(tmp_path / "f", tmp_path / "c")
    monkeypatch.setattr(micro, "is_installed", lambda: False)
    with pytest.raises(ImportError, match="pip install 'keras-vrnn"):
        kv.tflite.write_c_array(path, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    kv.tflite.write_c_array(path, tmp_path / "c", arena=5000, name="gestures")
    assert "kArenaSize = 5000" in (tmp_path / "c" / "gestures_tensors.h").read_text()


def test_all_sources_or_none(exported, tmp_path, monkeypatch):
    path, _ = exported["int8"]
    written, write_text = [], Path.write_text

    def until_the_disk_is_full(self, *arguments, **options):
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return write_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", until_the_disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        kv.tflite.write_c_array(path, tmp_path / "c", arena=5000)
    assert not any((tmp_path / "c").iterdir())

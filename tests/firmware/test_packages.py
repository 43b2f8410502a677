"""Packages: CMake builds one, the sketch compiles against a stand-in for Arduino, and manifests hold what they must."""

import subprocess

import firmware
import keras
import numpy as np
import pytest
from simulated import export

import keras_vrnn as kv

X = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
ARDUINO = """#pragma once
#include <cstdio>
struct Port {
  void begin(long) {}
  void print(float x, int) { std::printf("%.4f", x); }
  void print(const char *x) { std::printf("%s", x); }
  void print(char x) { std::printf("%c", x); }
  void println() { std::printf("\\n"); }
};
static Port Serial;
static void delay(int) {}
"""


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    inputs = keras.Input((4, 3), name="x")
    card = kv.tflite.Card(classes=[f"c{k}?" for k in range(6)])
    path = tmp_path_factory.mktemp("packages") / "m.tflite"
    export(
        keras.Model(inputs, kv.VanillaRNN(6, return_sequences=True)(inputs)),
        path,
        X,
        form="streaming",
        card=card,
    )
    return path


def listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_cmake_builds_the_library(stream, tmp_path):
    cmake = firmware.compiler("cmake")
    firmware.compiler("cc")
    kv.tflite.write_c(stream, tmp_path / "net", name="net", package="cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app net)\n"
    )
    (tmp_path / "main.c").write_text(
        '#include "net.h"\nint main(void)\n{\n    static net_state state;\n    net_reset(&state);\n    return 0;\n}\n'
    )
    for command in ([cmake, "-S", ".", "-B", "build"], [cmake, "--build", "build"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    subprocess.run([str(tmp_path / "build" / "app")], check=True)


def test_the_sketch_prints_predictions(stream, tmp_path):
    compiler = firmware.compiler("g++")
    made = kv.tflite.write_c(stream, tmp_path, name="net", package="arduino")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in made) == listed(tmp_path)
    assert listed(tmp_path) == ["examples/net/net.ino", "library.properties", "src/net.c", "src/net.h"]
    properties = dict(
        line.split("=", 1) for line in (tmp_path / "library.properties").read_text().splitlines()
    )
    required = {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    }
    assert required <= set(properties)
    (tmp_path / "arduino.h").write_text(ARDUINO)
    (tmp_path / "main.cc").write_text(
        '#include "arduino.h"\n#include "examples/net/net.ino"\nint main() {\n  setup();\n  loop();\n}\n'
    )
    subprocess.run(["gcc", "-c", "src/net.c", "-o", "net.o"], cwd=tmp_path, check=True)
    command = [compiler, "-Wall", "-Wextra", "-Werror", "-Isrc", "main.cc", "net.o", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([str(tmp_path / "program")], capture_output=True, text=True, check=True)
    expected = kv.tflite.simulate(stream, np.zeros((1, 1, 3), np.float32))[0, 0]
    # Four digits are printed.
    shown = [part.split("=") for part in done.stdout.split()]
    assert [name for name, _ in shown] == [f"c{k}?" for k in range(6)]
    np.testing.assert_allclose([float(value) for _, value in shown], expected, atol=5.1e-5)


@pytest.mark.parametrize(
    ("package", "place", "holds"),
    [
        ("esp-idf", "CMakeLists.txt", 'idf_component_register(SRCS "net.c" INCLUDE_DIRS ".")'),
        ("esp-idf", "idf_component.yml", 'version: "'),
        ("zephyr", "zephyr/module.yml", "  cmake: zephyr\n"),
        ("zephyr", "zephyr/CMakeLists.txt", "if(CONFIG_NET_MODEL)"),
        ("zephyr", "zephyr/Kconfig", "config NET_MODEL\n"),
    ],
)
def test_manifests(package, place, holds, stream, tmp_path):
    kv.tflite.write_c(stream, tmp_path, name="net", package=package)
    assert holds in (tmp_path / place).read_text()
    assert "net.c" in listed(tmp_path)


def test_an_unknown_package_is_refused_and_files_are_kept(stream, tmp_path):
    with pytest.raises(ValueError, match="`package` must be 'cmake', 'arduino', 'esp-idf', 'zephyr' or None"):
        kv.tflite.write_c(stream, tmp_path / "new", package="mbed")
    assert not (tmp_path / "new").exists()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "net.c").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        kv.tflite.write_c(stream, tmp_path, name="net", package="arduino")
    assert listed(tmp_path) == ["src/net.c"]

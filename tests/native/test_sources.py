"""The build of the library, and checks of its sources with a compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from keras_vrnn.native import sources

HERE = Path(__file__).parent
CALLERS = "ops.cc", "jax_calls.cc"
RECURRENCE = [str(sources.FOLDER / name) for name in sources.SOURCES if name not in CALLERS]


def test_the_name_of_the_library_depends_on_its_sources(monkeypatch, tmp_path):
    before = sources.library().name
    for name in (*sources.SOURCES, *sources.HEADERS):
        (tmp_path / name).write_bytes((sources.FOLDER / name).read_bytes())
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    assert sources.library().name == before
    (tmp_path / "threads.cc").write_text("// another")
    assert sources.library().name != before


def test_all_source_files_are_listed():
    found = {path.name for path in sources.FOLDER.iterdir() if path.suffix in (".cc", ".h")}
    assert found == {*sources.SOURCES, *sources.HEADERS}


def test_a_missing_compiler_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no-such-compiler cannot be run"):
        sources.build(tmp_path / "x.so")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="no C\\+\\+ compiler was found"):
        sources.build(tmp_path / "x.so")
    assert not list(tmp_path.iterdir())


def test_a_failing_compiler_leaves_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(sources, "library", lambda: tmp_path / "x.so")
    assert sources.main() == 1
    assert "keras_vrnn runs without its native kernel" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_declarations_equal_those_of_tensorflow(compiler):
    tf = pytest.importorskip("tensorflow")
    compiler("-fsyntax-only", f"-I{tf.sysconfig.get_include()}", str(HERE / "headers.cc"))


def test_declarations_equal_those_of_xla(compiler):
    jax = pytest.importorskip("jax")
    compiler("-fsyntax-only", f"-I{jax.ffi.include_dir()}", str(HERE / "jax_headers.cc"))


def test_other_versions_of_xla_are_refused(compiler, tmp_path):
    program = tmp_path / "versions"
    calls = str(sources.FOLDER / "jax_calls.cc")
    compiler("-pthread", str(HERE / "jax_versions.cc"), calls, *RECURRENCE, "-o", str(program))
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "good\n"


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_the_kernel_is_clean_under_sanitizers(compiler, tmp_path, sanitizer):
    options = (
        "-O1",
        "-g",
        "-ffp-contract=fast",
        "-pthread",
        f"-fsanitize={sanitizer}",
        "-fno-sanitize-recover=all",
    )
    compiler(*options, str(HERE / "driver.cc"), *RECURRENCE, "-o", str(tmp_path / "driver"))
    # The driver forks while it has threads.
    environment = {**os.environ, "TSAN_OPTIONS": "die_after_fork=0"}
    done = subprocess.run([tmp_path / "driver", "60"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "60 problems: good" in done.stdout


def test_the_kernel_runs_on_arm64(tmp_path):
    # Debian: g++-aarch64-linux-gnu and qemu-user. The arithmetic, without TensorFlow.
    cross, emulator = (
        "aarch64-linux-gnu-g++",
        shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"),
    )
    if not (shutil.which(cross) and emulator):
        pytest.skip(f"needs {cross} and qemu-aarch64")
    driver = str(tmp_path / "driver")
    command = [cross, *sources.OPTIONS, "-Wall", "-Wextra", "-Werror", "-static", f"-I{sources.FOLDER}"]
    subprocess.run([*command, str(HERE / "driver.cc"), *RECURRENCE, "-o", driver], check=True)
    done = subprocess.run([emulator, driver, "40", "no-fork"], capture_output=True, text=True)
    assert "40 problems: good" in done.stdout, (done.stdout + done.stderr)[-2000:]

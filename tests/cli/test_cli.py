"""The command line as a whole: usage, errors, missing packages, a closed pipe."""

import subprocess
import sys

import pytest

from keras_vrnn import cli

COMMANDS = ("export", "verify", "bench", "inspect", "diagnose", "compress", "report")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    assert f"usage: keras-vrnn {command}" in capsys.readouterr().out


def test_unknown_command_shows_the_usage(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["quantise"])
    assert "export" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["export", "m.keras", "good.tflite", "--calibration-data", "x.npy"],
            "Pass --overwrite to replace it",
        ),
        (["export", "m.keras", "n.tflite", "--batch-size", "0"], "--batch-size 0"),
        (["export", "m.keras", "n.tflite", "--state", "internal"], "Choose --form 'streaming'"),
        (["bench", "good.tflite", "--runs", "0"], "`--runs` must be a positive integer. Received: --runs 0"),
    ],
)
def test_errors_name_options_instead_of_python_arguments(arguments, message, refused):
    assert message in refused(arguments)


WITHOUT = "import sys; sys.modules.update(tensorflow=None, keras=None)\nfrom keras_vrnn.cli import main\n"


def run_without_keras(folder, *arguments):
    command = [sys.executable, "-c", f"{WITHOUT}sys.exit(main({list(arguments)!r}))"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "good.tflite"],
        ["bench", "good.tflite", "--runs", "2"],
        ["export", "good.tflite", "--c", "without_keras"],
    ],
)
def test_commands_for_devices_need_neither_keras_nor_tensorflow(arguments, folder):
    result = run_without_keras(folder, *arguments)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "m.keras", "n.tflite", "--quantization", "float32"],
        ["verify", "m.keras", "good.tflite", "--data", "x.npy"],
    ],
)
def test_missing_keras_is_one_line_with_the_remedy(arguments, folder):
    result = run_without_keras(folder, *arguments)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        f"keras-vrnn {arguments[0]}: it needs the package keras. Install it with: pip install keras tensorflow"
    )


def test_a_reader_that_closes_the_pipe(folder):
    """`keras-vrnn inspect good.tflite | head -1`: one line, no message."""
    command = [sys.executable, "-m", "keras_vrnn", "inspect", "good.tflite"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        writer.stdout.close()  # before the first line is written
        error = writer.stderr.read().decode()
    assert writer.returncode == 141
    assert "pipe" not in error.lower()
    assert "Traceback" not in error

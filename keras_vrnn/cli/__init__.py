"""The package in a shell.

    keras-vrnn export | verify | bench | inspect | describe | diagnose | unroll | compress | report

Exit status: 0 done, 1 a threshold was not met, 2 the input was refused.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence

from keras_vrnn._native_log import left_out as quiet
from keras_vrnn._version import __version__
from keras_vrnn.cli import bench, compress, describe, diagnose, export, inspect, report, unroll, verify
from keras_vrnn.cli.status import REFUSED

# Each has `add_parser(commands)`, whose parser sets `run`, a function of the options that returns the exit status.
_COMMANDS = (export, verify, bench, inspect, describe, diagnose, unroll, compress, report)
# Packages that a command imports when it needs them -> what to install.
_INSTALLED_BY = {
    "keras": "keras tensorflow",
    "tensorflow": "keras tensorflow",
    "ai_edge_litert": "ai-edge-litert",
    "tensorflow_model_optimization": "'keras-vrnn[compression]'",
    "distutils": "'keras-vrnn[compression]'",
}
# Arguments without dashes.
_POSITIONAL = ("command", "folder", "model", "tflite", "smaller")
# What a shell reports for a program that writes to a closed pipe: 128 + SIGPIPE.
_BROKEN_PIPE = 141


def program() -> int:
    """Runs as the program `keras-vrnn`: TensorFlow's start-up messages are left out."""
    with quiet():
        return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's flush at the end
        return _BROKEN_PIPE
    except ModuleNotFoundError as error:
        if error.name not in _INSTALLED_BY:
            raise
        message = (
            f"it needs the package {error.name}. Install it with: pip install {_INSTALLED_BY[error.name]}"
        )
    except (ValueError, OSError, ImportError) as error:
        message = _with_options(" ".join(str(error).split()), vars(options))
    print(f"keras-vrnn {options.command}: {message}", file=sys.stderr)
    return REFUSED


def _with_options(message, options):
    """Returns an error that names Python arguments with the names of the command's options instead."""
    for name in set(options) - set(_POSITIONAL):
        option = "--" + name.replace("_", "-")
        message = re.sub(rf"(?<![\w.]){name}=True\b", option, message)
        message = re.sub(rf"(?<![\w.]){name}=(?=\S)", f"{option} ", message)
        message = message.replace(f"`{name}`", f"`{option}`")
    return message


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-vrnn",
        description="Vanilla RNNs from Keras to TFLite.",
        epilog="Exit status: 0 done, 1 a threshold was not met, 2 the input was refused.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser

"""`keras-vrnn export | verify | bench | inspect | diagnose`: the package on the command line.

Exit status: 0 done, 1 a figure missed the bar that was asked for, 2 the input was refused.
"""

import argparse
import sys

from keras_vrnn._version import __version__
from keras_vrnn.cli import bench, diagnose, export, inspect, verify
from keras_vrnn.cli.status import REFUSED

# Each has `add_parser(commands)`, whose parser sets `run`, a function of the options that returns the exit status.
_COMMANDS = (export, verify, bench, inspect, diagnose)


def main(arguments=None):
    """Runs one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError, ImportError) as error:
        message = " ".join(str(error).split())
        print(f"keras-vrnn {options.command}: {message}", file=sys.stderr)
        return REFUSED


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-vrnn",
        description="Vanilla RNNs from Keras to TFLite.",
        epilog="Exit status: 0 done, 1 a figure missed the bar that was asked for, 2 the input was refused.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser

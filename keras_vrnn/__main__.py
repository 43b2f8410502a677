"""`python -m keras_vrnn` is `keras-vrnn`."""

import sys

from keras_vrnn.cli import program

if __name__ == "__main__":
    sys.exit(program())

"""A dropout rate of 1, which layers of Keras document, and which Keras 3.12 refuses on TensorFlow."""

import keras
import pytest


def skip_unless_keras_has_it():
    try:
        keras.random.dropout(keras.ops.ones((1,)), 1.0)
    except ValueError as error:
        pytest.skip(f"Keras {keras.__version__}: {error}")

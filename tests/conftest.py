"""Settings that must hold before TensorFlow loads, and the same random numbers for every test."""

import contextlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest

# No deadline: a first call traces a graph, which takes seconds. No random seed: a failure must repeat.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def seeded():
    """Seeds Python, NumPy and Keras, so that no test depends on the tests before it."""
    import keras

    keras.utils.set_random_seed(20240607)


@pytest.fixture
def native_on():
    """The native kernel, switched on; skips the test where it cannot be used."""
    import keras

    from keras_vrnn.native import library

    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("the native kernel is for TensorFlow and JAX")
    with _switched(True):
        if library.unavailable():
            pytest.skip(f"the native kernel is {library.unavailable()}")
        yield


@pytest.fixture
def native_off():
    """The native kernel, switched off: for tests of what serves without it."""
    with _switched(False):
        yield


@contextlib.contextmanager
def _switched(on):
    from keras_vrnn.native import library

    before = library._Switch.on
    library.set_enabled(on)
    try:
        yield
    finally:
        library._Switch.on = before

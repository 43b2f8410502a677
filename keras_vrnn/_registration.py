"""Makes `.keras` files load without `custom_objects`, without importing Keras before the user does."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys

# Importing one of these registers its serializable classes with Keras.
_SERIALIZABLE_MODULES = (
    "keras_vrnn.layers",
    "keras_vrnn.training",
    "keras_vrnn.models",
    "keras_vrnn.compression.masks",
)


_loading = 0  # how many of the modules above are being loaded, one by way of the other


@contextlib.contextmanager
def registering():
    """In this block a module above loads what it defines; when the outermost has ended, the others are loaded.

    They import each other. Whichever comes first imports Keras, and none can be loaded by way of that: the first is not
    ready yet.
    """
    global _loading
    _loading += 1
    try:
        yield
    finally:
        _loading -= 1
    if not _loading:
        register_with_keras()


def register_with_keras():
    """Loads the modules whose classes Keras must know to load a model."""
    global _loading
    _loading += 1
    try:
        for module in _SERIALIZABLE_MODULES:
            importlib.import_module(module)
    finally:
        _loading -= 1


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers our classes the moment somebody imports Keras.

    Keras (3.15) finds a custom class only if its module has run. Importing Keras from here would
    cost every `from keras_vrnn.tflite import Runner` the seconds that TensorFlow takes to load.
    """

    _searching = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras" or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self._searching = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module):
            # Only now: libraries also search for Keras without importing it (`importlib.util.find_spec`).
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            execute(module)
            if not _loading:
                register_with_keras()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_keras_is_imported():
    """Registers now if Keras is loaded, else as soon as it is."""
    # None stands there where a program has blocked the import of Keras.
    if sys.modules.get("keras") is not None:
        register_with_keras()
    else:
        sys.meta_path.insert(0, _AfterKeras())

"""Makes `.keras` files load without `custom_objects`, without importing Keras before the user does."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys

# Importing one of these registers its serializable classes with Keras.
_SERIALIZABLE_MODULES = ("keras_vrnn.layers", "keras_vrnn.training", "keras_vrnn.models")


_loading = 0  # number of the modules above that are being loaded, one from within the other


@contextlib.contextmanager
def registering():
    """Marks the block in which one of the modules above loads; after the outermost block, the others are loaded.

    The modules import each other. The first one imports Keras, and that import must not load the others, because the
    first is not ready yet.
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
    """Loads the modules whose classes Keras needs to load a model."""
    global _loading
    _loading += 1
    try:
        for module in _SERIALIZABLE_MODULES:
            importlib.import_module(module)
    finally:
        _loading -= 1


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers our classes as soon as Keras is imported.

    Keras (3.15) finds a custom class only if its module has run. Importing Keras from here would add the seconds that
    TensorFlow takes to load to every `from keras_vrnn.tflite import Runner`.
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
            # Not in find_spec: libraries also search for Keras without importing it (`importlib.util.find_spec`).
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            execute(module)
            if not _loading:
                register_with_keras()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_keras_is_imported():
    """Registers now if Keras is loaded, else as soon as it is."""
    # The entry is None where a program has blocked the import of Keras.
    if sys.modules.get("keras") is not None:
        register_with_keras()
    else:
        sys.meta_path.insert(0, _AfterKeras())

"""Registers our classes with Keras, so that after `import keras_vrnn` files load without `custom_objects`.

Importing keras_vrnn does not import Keras: the registration waits until the user's program imports it.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys

# Each of these modules registers its serializable classes with Keras when it is imported.
_SERIALIZABLE_MODULES = (
    "keras_vrnn.layers",
    "keras_vrnn.training",
    "keras_vrnn.models",
    "keras_vrnn.compression.masks",
    "keras_vrnn.compression.quantized.forms",
)


_loading = 0  # the number of these modules that are being imported, one inside the other


@contextlib.contextmanager
def registering():
    """Wraps the imports of one of these modules; at the end of the outermost block, the others are imported.

    The modules import each other, and the first one imports Keras. Registering at that moment would import modules that
    need the first one, which is not ready yet.
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
    """Imports the modules whose classes Keras needs to load a model."""
    global _loading
    _loading += 1
    try:
        for module in _SERIALIZABLE_MODULES:
            importlib.import_module(module)
    finally:
        _loading -= 1


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers our classes as soon as Keras is imported.

    Keras (3.15) finds a custom class only if its module has been imported. Importing Keras here would add the seconds
    that TensorFlow takes to load to every `from keras_vrnn.tflite import Runner`.
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
            # Not earlier: libraries also search for Keras without importing it (`importlib.util.find_spec`).
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            execute(module)
            if not _loading:
                register_with_keras()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_keras_is_imported():
    """Registers our classes now if Keras is imported, and otherwise as soon as it is."""
    # A program that blocks the import of Keras sets its entry to None.
    if sys.modules.get("keras") is not None:
        register_with_keras()
    else:
        sys.meta_path.insert(0, _AfterKeras())

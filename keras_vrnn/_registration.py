"""Makes `.keras` files load without `custom_objects`, without importing Keras before the user does."""

import importlib
import importlib.abc
import importlib.util
import sys

# Importing one of these registers its serializable classes with Keras.
_SERIALIZABLE_MODULES = ("keras_vrnn.layers", "keras_vrnn.training")


def register_with_keras():
    """Imports the modules whose classes Keras must know to load a model."""
    for module in _SERIALIZABLE_MODULES:
        importlib.import_module(module)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers our classes the moment somebody imports Keras.

    Keras (3.15) finds a custom class only if its module has run. Importing Keras from here would
    cost every `from keras_vrnn.tflite import Runner` the seconds that TensorFlow takes to load.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module):
            execute(module)
            register_with_keras()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_keras_is_imported():
    """Registers now if Keras is loaded, else as soon as it is."""
    if "keras" in sys.modules:
        register_with_keras()
    else:
        sys.meta_path.insert(0, _AfterKeras())

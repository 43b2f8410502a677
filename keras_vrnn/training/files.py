"""HDF5 files of whole models, in which Keras (3.15) writes the bare name of the class.

`Sequential` would be read as `keras.Sequential`.
"""

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import keras

from keras_vrnn.training.settings import changed_settings

_Mixin: Any = keras.Model if TYPE_CHECKING else object


class HDF5Files(_Mixin):
    """A mixin for models that writes HDF5 files which can be loaded."""

    def save(self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any) -> None:
        """As in Keras. Only `.keras` files keep this package's own arguments of `compile`; HDF5 files do not."""
        if not str(filepath).endswith((".h5", ".hdf5")):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        if self.compiled and kwargs.get("include_optimizer", True):
            _warn_of_lost_settings(self.gradient_settings, self.optimizer)
        with _renamed({type(self): keras.saving.get_registered_name(type(self))}):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)


@contextlib.contextmanager
def _renamed(names):
    own = {cls: cls.__name__ for cls in names}
    try:
        for cls, name in names.items():
            cls.__name__ = name
        yield
    finally:
        for cls, name in own.items():
            cls.__name__ = name


def _warn_of_lost_settings(settings, optimizer):
    lost = changed_settings(settings, optimizer)
    if lost:
        spelled = ", ".join(f"{name}={value!r}" for name, value in lost.items())
        warnings.warn(
            f"HDF5 files do not keep {spelled} of compile. Save the model as .keras, or compile it again after "
            "loading.",
            stacklevel=3,
        )

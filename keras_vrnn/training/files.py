"""Files in which Keras (3.15) identifies classes by their bare names.

- `model.h5` names the class of the model: our `Sequential` would load as `keras.Sequential`.
- `.weights.h5` has one group per layer, named after its class: `simple_rnn`, `vanilla_rnn_1`.
"""

import contextlib
import pathlib
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import h5py  # type: ignore[import-untyped]
import keras

from keras_vrnn.layers import VanillaRNN, VanillaRNNCell
from keras_vrnn.training.settings import GradientSettings, own_clipping

_Mixin: Any = keras.Model if TYPE_CHECKING else object

_STOCK_NAMES = {VanillaRNN: "SimpleRNN", VanillaRNNCell: "SimpleRNNCell"}


class KerasFiles(_Mixin):
    """Mixin before `keras.Model` that loads weights of stock models, and saves HDF5 files that can be loaded."""

    def save(self, filepath: Any, overwrite: bool = True, zipped: Any = None, **kwargs: Any) -> None:
        """As in Keras. Only `.keras` files keep this package's own arguments of `compile`; HDF5 files do not."""
        if not str(filepath).endswith((".h5", ".hdf5")):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        if self.compiled and kwargs.get("include_optimizer", True):
            _warn_of_lost_settings(self.gradient_settings, self.optimizer)
        with _renamed({type(self): keras.saving.get_registered_name(type(self))}):
            super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """As in Keras, and also from the file of a model with `SimpleRNN` where this one has `VanillaRNN`."""
        with _renamed(_STOCK_NAMES if _is_of_a_stock_model(filepath) else {}):
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)


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


def _is_of_a_stock_model(filepath):
    """Whether a file holds weights of `SimpleRNN` layers, but none of `VanillaRNN` layers."""
    path = pathlib.Path(filepath)
    if not path.is_file():
        return False
    with contextlib.ExitStack() as stack:
        file: Any = path
        if zipfile.is_zipfile(path):  # .keras
            archive = stack.enter_context(zipfile.ZipFile(path))
            if "model.weights.h5" not in archive.namelist():
                return False
            file = stack.enter_context(archive.open("model.weights.h5"))
        elif not h5py.is_hdf5(path):
            return False
        groups: list[str] = []
        stack.enter_context(h5py.File(file, "r")).visit(groups.append)
    parts = {part for group in groups for part in group.split("/")}
    return _any_starts(parts, "simple_rnn") and not _any_starts(parts, "vanilla_rnn")


def _any_starts(names, prefix):
    return any(name.startswith(prefix) for name in names)


def _warn_of_lost_settings(settings, optimizer):
    lost = {
        name: getattr(settings, name)
        for name in ("clipnorm", "global_clipnorm", "nonfinite", "truncate_steps")
        if getattr(settings, name) != getattr(GradientSettings, name) and name not in own_clipping(optimizer)
    }
    if lost:
        spelled = ", ".join(f"{name}={value!r}" for name, value in lost.items())
        warnings.warn(
            f"HDF5 files do not keep {spelled} of compile. Save the model as .keras, or compile it again after "
            "loading.",
            stacklevel=3,
        )

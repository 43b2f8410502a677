"""A callback that logs the sparsity of a pruned model."""

import keras

from keras_vrnn.compression.pruning import masks_of, sparsities
from keras_vrnn.training.pruned import settle


class PruningCallback(keras.callbacks.Callback):
    """Logs the sparsity of a pruned model at the end of each epoch.

    The logs and `History` get `sparsity`, the share of exact zeros in all pruned kernels together, and
    `sparsity/<path>` for each of them. The masks work without this callback, with one exception: if the optimizer or
    a callback puts averaged weights into a `keras.Model` (`use_ema`, `SwapEMAWeights`), this callback must come last,
    to set the pruned weights back to zero. A `kv.Model` does so by itself.

    Raises:
        ValueError: before training, if the model is not pruned.
    """

    def set_model(self, model: keras.Model) -> None:
        masks_of(model)
        super().set_model(model)

    def on_epoch_end(self, epoch, logs=None):
        settle(self.model.trainable_variables)
        if logs is not None:
            logs.update(self._logs())

    def on_train_end(self, logs=None):
        settle(self.model.trainable_variables)

    def _logs(self):
        shares = sparsities(self.model)
        sizes = {w.path: w.shape.num_elements() for w in self.model.weights if w.path in shares}
        total = sum(shares[path] * size for path, size in sizes.items()) / sum(sizes.values())
        return {"sparsity": total, **{f"sparsity/{path}": share for path, share in shares.items()}}

"""A Keras constraint that holds pruned weights at zero."""

import base64

import keras
import numpy as np
from keras import ops

from keras_vrnn.compression import schedules


@keras.saving.register_keras_serializable(package="keras_vrnn")
class PruningMask(keras.constraints.Constraint, keras.Operation):
    """Holds the pruned weights of one kernel at zero.

        w ← w ⊙ m

    A Keras optimizer applies a constraint after each update, within the compiled step. Momentum, weight decay and
    clipping may change a pruned weight, but it is exactly 0 again before anything reads it. At the steps that the
    schedule chooses, the smallest remaining weights are first removed from the mask, until its sparsity is reached
    (magnitude pruning, Han et al. 2015, "Learning both Weights and Connections", section 3). A pruned weight stays
    pruned.

    The mask is part of the configuration, for `.keras` files and clones. It is also saved with the weights, for
    `BackupAndRestore` and weight files. This takes two base classes: Keras saves the state of an `Operation`, but not
    of a plain `Constraint`.

    Args:
        schedule: schedule(step) → (should_prune, sparsity), where the step counts the updates before this one. None
            leaves the mask as it is. A dictionary describes a saved schedule, which is made when training first
            needs it.
        mask: False where a weight is pruned: an array of bools, or its saved form.
        constraint: another constraint of the kernel, which is applied first.
        step: number of updates so far.
    """

    def __init__(self, schedule=None, mask=None, constraint=None, step=0, name="pruning_mask"):
        super().__init__(name=name)
        mask = _unpacked(mask) if isinstance(mask, dict) else np.asarray(mask, bool)
        self.constraint = keras.constraints.get(constraint)
        self._schedule = schedule
        self.pruning_mask = _variable(mask, "bool", "mask")
        self.step = _variable(np.asarray(step), "int32", "step")

    @property
    def schedule(self):
        if isinstance(self._schedule, dict):
            self._schedule = schedules.from_config(self._schedule)
        return self._schedule

    def __call__(self, w):
        w = ops.convert_to_tensor(w if self.constraint is None else self.constraint(w))
        if self.schedule is not None:
            self._advance(w)
        return ops.where(self.pruning_mask.value, w, ops.zeros_like(w))

    def _advance(self, w):
        if keras.backend.backend() != "tensorflow":
            raise RuntimeError(
                f"A pruning schedule needs the TensorFlow backend of Keras, received {keras.backend.backend()!r}. "
                "Train with KERAS_BACKEND=tensorflow, or take the schedule away: kv.compression.strip_pruning(model)."
            )
        import tensorflow as tf

        should_prune, sparsity = schedules.traced(self.schedule)(tf.cast(self.step.value, tf.int64))
        before = self.pruning_mask.value
        # Assigned outside the condition, since replicas could not agree on a value inside it.
        self.pruning_mask.assign(tf.cond(should_prune, lambda: self._narrowed(w, sparsity), lambda: before))
        self.step.assign(self.step.value + 1)

    def _narrowed(self, w, sparsity):
        mask = self.pruning_mask.value
        # Below every magnitude, so that weights that are pruned already are counted first.
        keys = ops.reshape(ops.where(mask, ops.abs(w), -ops.ones_like(w)), (-1,))
        # Ranks, since a threshold would remove too many or too few weights of equal magnitude.
        ranks = ops.reshape(ops.argsort(ops.argsort(keys)), mask.shape)
        zeros = ops.cast(ops.round(sparsity * float(np.prod(mask.shape))), ranks.dtype)
        return ops.logical_and(mask, ranks >= zeros)

    def resize(self, mask):
        """Replaces the mask, for a kernel that has lost rows or columns."""
        self.pruning_mask = _variable(mask, "bool", "mask")

    def save_own_variables(self, store):
        store["mask"] = np.packbits(ops.convert_to_numpy(self.pruning_mask))
        store["step"] = ops.convert_to_numpy(self.step)

    def load_own_variables(self, store):
        # A file from before the pruning has neither, and leaves the mask as it is.
        if "mask" in store.keys():  # noqa: SIM118 - an H5 entry cannot be iterated
            shape = self.pruning_mask.shape
            bits = np.unpackbits(np.asarray(store["mask"]))
            if not 0 <= len(bits) - np.prod(shape) < 8:
                raise ValueError(
                    f"The pruning mask in the file has {len(bits)} bits, but the kernel has the shape {shape}. Load "
                    "the weights into the model that they were saved from."
                )
            self.pruning_mask.assign(bits[: np.prod(shape)].reshape(shape).astype(bool))
            self.step.assign(np.asarray(store["step"]))

    def get_config(self):
        saved = isinstance(self._schedule, dict) or self._schedule is None
        return {
            "schedule": self._schedule if saved else schedules.to_config(self._schedule),
            "mask": _packed(ops.convert_to_numpy(self.pruning_mask)),
            "constraint": keras.constraints.serialize(self.constraint) if self.constraint else None,
            "step": int(ops.convert_to_numpy(self.step)),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _variable(value, dtype, name):
    # All replicas make the same updates, so the value of the first one serves.
    aggregation = "only_first_replica"
    return keras.Variable(value, dtype=dtype, trainable=False, name=name, aggregation=aggregation)


def _packed(mask):
    return {"shape": list(mask.shape), "bits": base64.b64encode(np.packbits(mask).tobytes()).decode()}


def _unpacked(packed):
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed["bits"]), np.uint8))
    return bits[: np.prod(packed["shape"])].reshape(packed["shape"]).astype(bool)

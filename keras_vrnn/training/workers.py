"""Support for several processes under `tf.distribute.MultiWorkerMirroredStrategy`.

The training step is the same as on several devices of one process: `update.py` sums the gradients over all replicas.
Keras' `fit` (3.15) fails around the step: before the first step, and after each. See docs/distribution.md.
"""

import keras


def has_others(strategy):
    """Whether other processes hold replicas, too."""
    import tensorflow as tf

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return strategy.num_replicas_in_sync > len(strategy.extended.worker_devices)


def own_batch(strategy, iterator):
    """This process's part of the first batch, for its shapes.

    Keras takes the mean of the batch over all replicas, which fails because other processes hold some of them.
    """
    import tensorflow as tf

    for _, _, batches in iterator:
        return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], next(batches))
    return None


def reducible(logs, strategy):
    """Gives scalar logs an axis: Keras takes the mean over the processes along the first axis of each log."""
    if not has_others(strategy):
        return logs
    import tensorflow as tf

    return keras.tree.map_structure(lambda log: tf.convert_to_tensor(log)[tf.newaxis], logs)


def check_replicas(replicas, least=1, **arguments):
    """Refuses arguments that several replicas do not support (Keras 3.15).

    TensorFlow's own error would name neither the argument nor the cause.
    """
    for name, value in arguments.items():
        if replicas > 1 and value is not None and value > least:
            raise ValueError(
                f"`{name}` needs one replica, because a loop or a condition cannot hold a sum over replicas. "
                f"Received: {name}={value} on {replicas} replicas. Leave it out, or train on one device."
            )

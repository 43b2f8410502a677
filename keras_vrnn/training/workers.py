"""Several processes under `tf.distribute.MultiWorkerMirroredStrategy`: what Keras' loop around a step lacks (3.15).

The step itself needs no more than on several devices of one process: `update.py` sums the gradients over all replicas,
wherever they are. Keras' `fit` fails before the first step and after each; docs/distribution.md.
"""

import keras


def has_others(strategy):
    """Tells whether replicas run in other processes too."""
    import tensorflow as tf

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    return strategy.num_replicas_in_sync > len(strategy.extended.worker_devices)


def own_batch(strategy, iterator):
    """The first batch, as far as it is this process's own, for its shapes.

    Keras takes the mean of the batch over all replicas, and fails: those of other processes are not here.
    """
    import tensorflow as tf

    for _, _, batches in iterator:
        return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], next(batches))
    return None


def reducible(logs, strategy):
    """Keras takes the mean of each log over the processes, along its first axis: a scalar gets one."""
    if not has_others(strategy):
        return logs
    import tensorflow as tf

    return keras.tree.map_structure(lambda log: tf.convert_to_tensor(log)[tf.newaxis], logs)


def check_replicas(replicas, least=1, **arguments):
    """Refuses what ends in an error of TensorFlow's that names neither the argument nor the cause (Keras 3.15)."""
    for name, value in arguments.items():
        if replicas > 1 and value is not None and value > least:
            raise ValueError(
                f"{name}={value} needs one replica, received {replicas}: the loop or condition that is made for it "
                "cannot hold the sum over replicas. Leave it out, or train on one device."
            )

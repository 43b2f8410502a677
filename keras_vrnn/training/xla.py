"""XLA in `fit`, where it saves time and changes nothing else (TensorFlow).

Keras (3.15) does not use XLA on a CPU. `fit` tries it for models that gain from it, but not where XLA refuses the step
or computes it differently:

    side effects (py_function, print)   XLA refuses them
    assertions                          XLA drops them
    random numbers                      XLA has another generator
    indices out of range                XLA clamps them or returns NaN; `IndexChecks` finds them
"""

import itertools
import logging

import keras
import tensorflow as tf

from keras_vrnn.layers.backends import runs_natively
from keras_vrnn.layers.interception import layers_of
from keras_vrnn.layers.native_path import for_xla

_LOGGER = logging.getLogger("keras_vrnn")

_SIDE_EFFECTS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2"}
_ASSERTIONS = {"Assert", "CheckNumerics", "CheckNumericsV2"}
# Their CPU kernels raise errors for indices out of range or singular matrices.
_CHECKED_ON_CPU = {
    *(
        "GatherNd",
        "ResourceGather",
        "ResourceGatherNd",
        "ScatterNd",
        "SegmentSum",
        "SegmentMean",
        "SegmentMax",
    ),
    *("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMax", "TensorScatterMin", "TensorScatterSub"),
    *("Cholesky", "MatrixInverse", "MatrixSolve", "MatrixTriangularSolve", "MatrixDeterminant"),
}
_OTHERWISE = _SIDE_EFFECTS | _ASSERTIONS | _CHECKED_ON_CPU
_RANDOM = ("Random", "Multinomial", "TruncatedNormal", "Gamma", "Poisson", "Binomial")


def helps(model):
    """Whether XLA may make `fit` faster: the model has a recurrence, and fixed shapes but for the batch.

    XLA compiles anew for each shape. A user's losses and metrics are tried. A user's layers may rely on their own
    errors, and a user's `train_step` does work that is not examined, so models with these run without XLA.
    """
    from keras_vrnn.training.trainer import GradientTraining

    inputs = getattr(model, "inputs", None)
    if not inputs or model.run_eagerly or not model.supports_jit:
        return False
    if getattr(model.train_step, "__func__", None) is not GradientTraining.train_step:
        return False
    if model.distribute_strategy is not tf.distribute.get_strategy() or tf.distribute.has_strategy():
        return False
    if any(None in tensor.shape[1:] for tensor in inputs):
        return False
    layers = layers_of(model)
    known = all(type(layer).__module__.split(".")[0] in ("keras", "keras_vrnn") for layer in layers)
    recurrent = [layer for layer in layers if isinstance(layer, keras.layers.RNN)]
    if all(
        runs_natively(layer) for layer in recurrent
    ):  # faster than XLA, which cannot run the native kernel
        return False
    return known and all(layer.supports_jit for layer in layers)


class Trial:
    """A train function that uses XLA if XLA accepts the step with its first batches.

    A failure loses nothing: XLA compiles the whole step before any part of it runs, and the batches are kept.

    Args:
        step: The model's `train_step`.
        compiled: The train function that Keras makes of it, compiled by XLA.
        make_plain: Function that returns a train function without XLA.
        batches: Batches per execution.
    """

    def __init__(self, step, compiled, make_plain, batches):
        self._step = step
        self._execute = compiled
        self._make_plain = make_plain
        self._batches = batches
        self._is_open = True

    def __call__(self, iterator):
        if not self._is_open:
            return self._execute(iterator)
        self._is_open = False
        spec = iterator.element_spec
        if not _has_fixed_shapes(spec) or differs(_traced(self._step, spec)):
            self._execute = self._make_plain()
            return self._execute(iterator)
        first = list(itertools.islice(iterator, self._batches))
        try:
            return self._run(first, spec)
        except Exception as error:
            # XLA refuses with many types of errors. An error of the user's program comes again below.
            refusal = error
        self._execute = self._make_plain()
        logs = self._run(first, spec)
        warn_of_refusal(refusal)
        return logs

    def _run(self, batches, spec):
        """Runs batches through an iterator of the same type as `fit`'s, so that nothing is traced twice."""
        logs = None
        # The first batch runs alone, so that a failure leaves all weights as they were.
        for part in (batches[:1], batches[1:]):
            if part:
                dataset = tf.data.Dataset.from_generator(lambda part=part: iter(part), output_signature=spec)
                logs = self._execute(iter(dataset))
        return logs


def _has_fixed_shapes(spec):
    """Whether batches are tensors with fixed shapes but for the batch."""
    return all(
        isinstance(leaf, tf.TensorSpec) and leaf.shape.rank is not None and None not in leaf.shape[1:]
        for leaf in tf.nest.flatten(spec)
    )


def _traced(step, spec):
    """The graph of a step. This trace also makes all variables; a trace that fails would leave them without values."""
    with for_xla():
        return tf.function(step, autograph=False).get_concrete_function(spec).graph


def differs(graph):
    """Whether the graph of a step has an operation that XLA refuses or computes differently."""
    definition = graph.as_graph_def()
    functions = [function.node_def for function in definition.library.function]
    nodes = itertools.chain(definition.node, *functions)
    return any(node.op in _OTHERWISE or any(word in node.op for word in _RANDOM) for node in nodes)


def warn_of_refusal(error):
    """Logs in one line why `fit` runs without XLA."""
    reason = str(error).strip().splitlines()[0][:200]
    _LOGGER.warning("`fit` runs without XLA, which refused the step: %s", reason)


class IndexChecks:
    """Checks of token ids and class labels, which TensorFlow's kernels make and XLA omits.

    Code that XLA has compiled cannot raise an error. So a check returns a number, from which the host makes the error.
    """

    def __init__(self):
        self._messages = []

    def found(self, operations):
        """Returns the first index out of range in these operations: int32 [number of message, index], or [0, 0]."""
        found = tf.zeros([2], tf.int32)
        for operation in operations:
            if operation.type == "GatherV2":
                table, indices, axis = operation.inputs
                axis = tf.get_static_value(axis)
                size = None if axis is None else table.shape[int(axis)]
                message = "indices = {index} is not in [0, {size})"
            elif operation.type == "SparseSoftmaxCrossEntropyWithLogits":
                logits, indices = operation.inputs
                size = logits.shape[-1]
                message = "Received a label value of {index} which is outside the valid range of [0, {size})"
            else:
                continue
            if size is None or tf.get_static_value(indices) is not None:
                continue
            self._messages.append((message, size, operation.name))
            found = tf.where(found[0] > 0, found, _first_outside(indices, size, len(self._messages)))
        return found

    def error(self, number, index):
        """The error that TensorFlow's kernel would have raised."""
        message, size, name = self._messages[int(number) - 1]
        return tf.errors.InvalidArgumentError(
            None, None, f"{message.format(index=int(index), size=size)}, in {name}. The update was not made."
        )


def _first_outside(indices, size, number):
    indices = tf.reshape(indices, [-1])
    outside = tf.logical_or(indices < 0, indices >= tf.cast(size, indices.dtype))
    first = tf.argmax(tf.cast(outside, tf.int32), output_type=tf.int32)
    index = tf.cast(tf.gather(indices, first), tf.int32)
    return tf.where(tf.reduce_any(outside), tf.stack([number, index]), tf.zeros([2], tf.int32))

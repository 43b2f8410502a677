"""Gradients of a layer on every backend, as NumPy arrays."""

import keras
import numpy as np
from keras import ops


def layer_gradients(layer, loss, x, initial_state=None, mask=None, training=False):
    """∂L/∂x, ∂L/∂h_0 (None without one) and ∂L/∂weights of L = loss(layer(...)).

    Args:
        layer: A built layer.
        loss: Outputs (a list, even of one) → scalar tensor.
        x, initial_state, mask: Arrays for the call.
        training: Whether dropout applies.

    Returns:
        (loss, gradient of x, gradient of h_0, list of gradients of the trainable weights).
    """
    given = [ops.convert_to_tensor(a) for a in (x, initial_state) if a is not None]

    def run(call, tensors):
        kwargs = {"training": training}
        if mask is not None:
            kwargs["mask"] = ops.convert_to_tensor(mask)
        if initial_state is not None:
            kwargs["initial_state"] = tensors[1]
        outputs = call(tensors[0], **kwargs)
        return loss(list(outputs) if isinstance(outputs, (list, tuple)) else [outputs])

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(given)
            value = run(layer, given)
        weights = [w.value for w in layer.trainable_weights]
        gradients = tape.gradient(value, given + weights)
    elif backend == "jax":
        import jax

        frozen = [v.value for v in layer.non_trainable_variables]

        def function(tensors, weights):
            def call(x, **kwargs):
                return layer.stateless_call(weights, frozen, x, **kwargs)[0]

            return run(call, tensors)

        weights = [w.value for w in layer.trainable_weights]
        value, (of_given, of_weights) = jax.value_and_grad(function, (0, 1))(given, weights)
        gradients = of_given + of_weights
    else:
        given = [tensor.clone().requires_grad_() for tensor in given]
        layer.zero_grad()
        value = run(layer, given)
        value.backward()
        gradients = [tensor.grad for tensor in given] + [w.value.grad for w in layer.trainable_weights]
    arrays = [np.asarray(ops.convert_to_numpy(g)) for g in gradients]
    of_state = arrays[1] if initial_state is not None else None
    return float(ops.convert_to_numpy(value)), arrays[0], of_state, arrays[len(given) :]

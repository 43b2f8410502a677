"""The loop over time steps, in the form that runs fastest on each backend."""

import keras
from keras import ops


def scan(step, init, time_major=(), batch_major=(), reverse=False, unroll=False, autodiff=False, like=None):
    """Runs a step function over time, carrying a state along.

    Args:
        step: (carry, (x_t, …)) → (new carry, y_t).
        init: First carry: a tensor or a tuple of tensors.
        time_major: Tensors read step by step, time first.
        batch_major: More tensors to read, time second.
        reverse: Whether to go from the last step to the first.
        unroll: Whether to write the steps out; needs a static number of steps.
        autodiff: Whether the backend will differentiate the loop. TensorFlow then reads from arrays, because the
            gradient of an indexed read adds up tensors of all steps at every step.
        like: Tensor or tuple of the structure, shapes and dtypes of y_t; by default the first tensor of the carry.

    Returns:
        The last carry, and all y_t with time first, in time order even with `reverse`.
    """
    backend = keras.backend.backend()
    if unroll or backend == "torch":  # PyTorch always runs step by step
        return _unrolled(step, init, time_major, batch_major, reverse)
    if like is None:
        like = keras.tree.flatten(init)[0]
    if backend == "tensorflow" and not autodiff:
        return _tensorflow_loop(step, init, time_major, batch_major, reverse, like)
    xs = (*time_major, *(ops.swapaxes(x, 0, 1) for x in batch_major))
    if backend == "tensorflow":
        return _tensorflow_loop(step, init, xs, (), reverse, like)
    return ops.scan(step, init, xs, reverse=reverse)


def _unrolled(step, init, time_major, batch_major, reverse):
    steps = time_major[0].shape[0] if time_major else batch_major[0].shape[1]
    xs = [ops.unstack(x, steps, axis=0) for x in time_major]
    xs += [ops.unstack(x, steps, axis=1) for x in batch_major]
    carry, ys = init, [None] * steps
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        carry, ys[t] = step(carry, tuple(x[t] for x in xs))
    return carry, keras.tree.map_structure(lambda *y: ops.stack(y, axis=0), *ys)


def _tensorflow_loop(step, init, time_major, batch_major, reverse, like):
    """`ops.scan` without an array for the carry, and with `maximum_iterations`.

    XLA needs `maximum_iterations` to differentiate the loop, for second derivatives.
    """
    import tensorflow as tf

    example, axis = (time_major[0], 0) if time_major else (batch_major[0], 1)
    steps = example.shape[axis] if example.shape[axis] is not None else tf.shape(example)[axis]
    # clear_after_read=False: second derivatives read a step again.
    arrays = [
        tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:], clear_after_read=False).unstack(x)
        for x in time_major
    ]

    def body(t, carry, out):
        inputs = [array.read(t) for array in arrays] + [tf.gather(x, t, axis=1) for x in batch_major]
        new, y = step(carry, tuple(inputs))
        # A batch size that is static for the state but not for the sequences would change the loop's shape.
        tf.nest.map_structure(lambda tensor, first: tensor.set_shape(first.shape), new, init)
        return (t - 1 if reverse else t + 1), new, tf.nest.map_structure(lambda a, y: a.write(t, y), out, y)

    out = tf.nest.map_structure(lambda y: tf.TensorArray(y.dtype, steps, element_shape=y.shape), like)
    _, carry, out = tf.while_loop(
        (lambda t, *_: t >= 0) if reverse else (lambda t, *_: t < steps),
        body,
        (steps - 1 if reverse else 0, init, out),
        maximum_iterations=steps,
    )
    return carry, tf.nest.map_structure(lambda array: array.stack(), out)


def with_derivatives_of(plain, quick):
    """`quick`, whose derivatives TensorFlow takes from `plain`; both map the same tensors to the same tuple."""
    import tensorflow as tf

    @tf.custom_gradient
    def function(*arguments):
        def gradient(*upstream):
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                results = plain(*arguments)
            return tape.gradient(results, arguments, upstream, unconnected_gradients="zero")

        return quick(*arguments), gradient

    return function

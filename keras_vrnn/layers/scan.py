"""The loop over time steps, in the form that each backend runs fastest."""

import keras
from keras import ops


def scan(step, init, xs, reverse=False, unroll=False, in_place=True):
    """Carries a state through time.

    Args:
        step: (carry, (x_t, …)) → (new carry, y_t), y_t of the shape and dtype of the carry.
        init: First carry, shape (batch, units).
        xs: Tuple of tensors with time first.
        reverse: Whether to go from the last step to the first.
        unroll: Whether to write the steps out; needs a static number of steps.
        in_place: Whether y_t has the shape and dtype of xs[0] at t, so that it may take its place in memory.

    Returns:
        The last carry, and all y_t with time first, in time order also with `reverse`.
    """
    backend = keras.backend.backend()
    if unroll or backend == "torch":  # PyTorch runs step by step in any case
        return _unrolled(step, init, xs, reverse)
    if backend == "tensorflow":
        return _tensorflow_loop(step, init, xs, reverse, in_place)
    return ops.scan(step, init, xs, reverse=reverse)


def _unrolled(step, init, xs, reverse):
    steps = xs[0].shape[0]
    unstacked = [ops.unstack(x, steps, axis=0) for x in xs]
    carry, ys = init, [None] * steps
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        carry, ys[t] = step(carry, tuple(x[t] for x in unstacked))
    return carry, ops.stack(ys, axis=0)


def _tensorflow_loop(step, init, xs, reverse, in_place):
    """`ops.scan` without its TensorArray round the carry, and with `maximum_iterations`.

    XLA needs the latter to differentiate the loop, for second derivatives. Writing y_t where x_t was read
    saves a buffer of all steps, and XLA its zeroing: 2–4 % of a train step.
    """
    import tensorflow as tf

    steps = xs[0].shape[0] if xs[0].shape[0] is not None else tf.shape(xs[0])[0]
    # clear_after_read=False: second derivatives read a step again.
    arrays = [
        tf.TensorArray(x.dtype, steps, element_shape=x.shape[1:], clear_after_read=False).unstack(x)
        for x in xs
    ]
    reads = arrays[1:] if in_place else arrays
    out = arrays[0] if in_place else tf.TensorArray(init.dtype, steps, element_shape=init.shape)

    def body(t, carry, out):
        inputs = [array.read(t) for array in ([out, *reads] if in_place else reads)]
        new, y = step(carry, tuple(inputs))
        # A batch size known for the state but not for the sequences would change the loop's shape.
        new.set_shape(init.shape)
        return (t - 1 if reverse else t + 1), new, out.write(t, y)

    _, carry, out = tf.while_loop(
        (lambda t, *_: t >= 0) if reverse else (lambda t, *_: t < steps),
        body,
        (steps - 1 if reverse else 0, init, out),
        maximum_iterations=steps,
    )
    return carry, out.stack()

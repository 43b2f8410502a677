"""One training or forward step of each contender, on the same data and weights."""

import numpy as np

from benchmarks.worker import Job


def build(contender, step, shape, time=None):
    """Returns the step as a `Job`.

    Args:
        contender: `plan.Contender`.
        step: `plan.Step`.
        shape: `plan.Shape`.
        time: Number of time steps of the inputs to use, or None for all. A small number measures the memory that does
            not grow with time.
    """
    x, y, weights = _numbers(step, shape)
    if time is not None:
        x, y = x[:, :time], y[:, :time] if step.sequences else y
    call = {"keras": _keras, "torch": _torch, "gemm": _gemm}[contender.implementation](
        contender, step, x, y, weights
    )
    return Job(call, summary=_summary)


def _numbers(step, shape):
    random = np.random.default_rng(7)
    x = random.normal(size=(shape.batch, shape.time, shape.features))
    y = random.normal(
        size=(shape.batch, shape.time, shape.units) if step.sequences else (shape.batch, shape.units)
    )
    kernel = random.normal(size=(shape.features, shape.units)) / np.sqrt(shape.features)
    recurrent_kernel = np.linalg.qr(random.normal(size=(shape.units, shape.units)))[0]
    weights = kernel, recurrent_kernel, np.zeros(shape.units)
    return x.astype("float32"), y.astype("float32"), [w.astype("float32") for w in weights]


def _summary(result):
    """Returns the root mean squares of output, or of loss and gradients; they do not depend on a library's layout."""
    if result is None:
        return None
    return [float(np.sqrt(np.mean(np.square(np.asarray(part, "float64"))))) for part in result]


def _keras(contender, step, x, y, weights):
    if contender.package == "keras_vrnn":
        from keras_vrnn import VanillaRNN as RNN
        from keras_vrnn import native

        native.set_enabled(contender.native)  # until the next contender is built; this one is traced before
    else:
        from keras.layers import SimpleRNN as RNN
    layer = RNN(weights[1].shape[0], return_sequences=step.sequences)
    layer.build(x.shape)
    layer.set_weights(weights)
    if contender.backend == "jax":
        return _keras_on_jax(layer, step, x, y)
    return _keras_on_tensorflow(layer, step, x, y, contender.jit)


def _keras_on_tensorflow(layer, step, x, y, jit):
    import tensorflow as tf

    from keras_vrnn.layers import native_path

    x, y = tf.constant(x), tf.constant(y)

    @tf.function(jit_compile=jit)
    def forward(x):
        with native_path.in_process():  # as in `predict`
            return layer(x)

    @tf.function(jit_compile=jit)
    def train(x, y):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(tf.square(layer(x, training=True) - y))
        kernel, recurrent_kernel, bias, *dx = tape.gradient(
            loss, [*layer.trainable_weights] + [x] * step.input_gradient
        )
        return loss, kernel, recurrent_kernel, *dx, bias

    if not step.gradients:
        return lambda: (forward(x),)
    return lambda: train(x, y)[:-1]


def _keras_on_jax(layer, step, x, y):
    import jax

    x, y = jax.numpy.asarray(x), jax.numpy.asarray(y)
    trainable = [variable.value for variable in layer.trainable_variables]
    rest = [variable.value for variable in layer.non_trainable_variables]

    @jax.jit
    def forward(trainable, x):
        return layer.stateless_call(trainable, rest, x)[0]

    def loss(trainable, x, y):
        output = layer.stateless_call(trainable, rest, x, training=True)[0]
        return jax.numpy.mean(jax.numpy.square(output - y))

    train = jax.jit(jax.value_and_grad(loss, argnums=(0, 1) if step.input_gradient else (0,)))

    def call():
        if not step.gradients:
            return (jax.block_until_ready(forward(trainable, x)),)
        value, ((kernel, recurrent_kernel, _), *dx) = jax.block_until_ready(train(trainable, x, y))
        return value, kernel, recurrent_kernel, *dx

    return call


def _torch(contender, step, x, y, weights):
    import torch  # reads its number of threads from OMP_NUM_THREADS

    kernel, recurrent_kernel, _ = weights
    layer = torch.nn.RNN(kernel.shape[0], kernel.shape[1], batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        layer.weight_hh_l0.copy_(torch.from_numpy(recurrent_kernel.T.copy()))
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    x.requires_grad_(step.input_gradient)

    def forward():
        with torch.inference_mode():
            return (layer(x)[0],)

    def train():
        layer.zero_grad()
        x.grad = None
        outputs, last = layer(x)
        loss = torch.mean(torch.square((outputs if step.sequences else last[0]) - y))
        loss.backward()
        gradients = [layer.weight_ih_l0.grad, layer.weight_hh_l0.grad] + [x.grad] * step.input_gradient
        return loss.detach(), *gradients

    return train if step.gradients else forward


def _gemm(contender, step, x, y, weights):
    """The matrix products that a step needs at least, in NumPy, into preallocated memory.

    x·W_x, dW_x = xᵀ·dz, dW_h = hᵀ·dz and dx = dz·W_xᵀ are one product each; h·W_h and dz·W_hᵀ are one per time step.
    """
    kernel, recurrent_kernel, _ = weights
    batch, time, features = x.shape
    units = kernel.shape[1]
    rows = np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(-1, features)
    z, h, dz = (np.zeros((time, batch, units), "float32") for _ in range(3))
    h[0], dz[-1] = y[:, 0] if step.sequences else y, y[:, -1] if step.sequences else y
    dx = np.empty_like(rows)
    d_kernel, d_recurrent_kernel = np.empty_like(kernel), np.empty_like(recurrent_kernel)

    def flat(a):
        return a.reshape(-1, units)

    def call():
        np.matmul(rows, kernel, out=flat(z))
        for t in range(1, time):
            np.matmul(h[t - 1], recurrent_kernel, out=h[t])
        if not step.gradients:
            return
        for t in range(time - 1, 0, -1):
            np.matmul(dz[t], recurrent_kernel.T, out=dz[t - 1])
        np.matmul(rows.T, flat(dz), out=d_kernel)
        np.matmul(flat(h[:-1]).T, flat(dz[1:]), out=d_recurrent_kernel)
        if step.input_gradient:
            np.matmul(flat(dz), kernel.T, out=dx)

    return call

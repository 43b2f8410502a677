"""The weights of a Keras cell as arrays."""

import numpy as np
import tensorflow as tf


def weights_of(cell):
    """Returns W_x, W_h and b of a built cell as float32 arrays, and α and β of one that has them.

    A cell without bias has zeros.
    """
    with tf.init_scope():  # outside of any trace: the values of the weights, not tensors of its graph
        kernel, recurrent_kernel = (np.asarray(w, np.float32) for w in (cell.kernel, cell.recurrent_kernel))
        bias = np.zeros(kernel.shape[1]) if cell.bias is None else np.asarray(cell.bias)
        factors = [
            np.asarray(tf.sigmoid(getattr(cell, name))) for name in ("alpha", "beta") if hasattr(cell, name)
        ]
    return kernel, recurrent_kernel, bias.astype(np.float32), *factors

"""The weights of a Keras cell as arrays."""

import numpy as np
import tensorflow as tf


def weights_of(cell):
    """Returns W_x, W_h and b of a built cell as float32 arrays; a cell without bias has zeros."""
    with tf.init_scope():  # outside of any trace: the values of the weights, not tensors of its graph
        kernel, recurrent_kernel = (np.asarray(w, np.float32) for w in (cell.kernel, cell.recurrent_kernel))
        bias = np.zeros(kernel.shape[1]) if cell.bias is None else np.asarray(cell.bias)
    return kernel, recurrent_kernel, bias.astype(np.float32)

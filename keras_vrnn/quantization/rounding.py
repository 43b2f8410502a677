"""Rounds weights so that later weights compensate for the rounding errors of earlier ones.

Column by column, the rounding error of an input weight is spread over the weights that are not rounded yet, such that
Σ (Δw·x)² over the calibration data is minimal (Hassibi & Stork 1993, "Optimal Brain Surgeon", in the order and form of
Frantar et al. 2022, "GPTQ", section 3). It costs nothing at run time. Compared with rounding to nearest, it removes a
fifth of the state's error for random weights and data, and more where inputs are correlated.
"""

import numpy as np

from keras_vrnn.quantization import arrays as xp

MOST_INPUTS = 2048  # whose moment is measured: it takes the square of them in memory
_SHRINKAGE = 0.01  # the smallest share of the mean square that is treated as uncorrelated, as in GPTQ


def compensated(rows, scale, limit, moment=None):
    """Rounds rows / scale to integers in [-limit, limit].

    Args:
        rows: weights (outputs, inputs), a NumPy array; without `moment`, also a TensorFlow tensor.
        scale: one scale per row, (outputs, 1), or one for all.
        limit: the largest integer.
        moment: (count, Σ x·xᵀ) of the inputs x, (inputs, inputs). Without it, each weight is rounded to nearest.

    Returns:
        The integers as int8.
    """
    rows = rows / scale
    if moment is None:
        return xp.narrow(xp.clip(xp.round(rows), -limit, limit), np.int8)
    pruned = rows == 0.0  # a pruned weight stays zero: a device may skip it, and a file compresses it
    count, products = moment
    size = rows.shape[1]
    # Correlations measured on few samples are mostly chance, so they count less.
    uncorrelated = max(_SHRINKAGE, size / max(count, 1)) * np.mean(np.diag(products))
    if uncorrelated <= 0.0:
        return compensated(rows, 1.0, limit)
    inverse = np.linalg.inv(products + uncorrelated * np.eye(size))
    spread = np.linalg.cholesky(inverse).T
    rows, integers = rows.copy(), np.empty_like(rows)
    for k in range(size):
        integers[:, k] = np.where(pruned[:, k], 0.0, np.clip(np.round(rows[:, k]), -limit, limit))
        lost = (rows[:, k] - integers[:, k]) / spread[k, k]
        rows[:, k + 1 :] -= lost[:, None] * spread[k, k + 1 :]
    return integers.astype(np.int8)

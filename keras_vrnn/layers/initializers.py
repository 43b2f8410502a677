"""Initializers of the recurrent kernel. Which one when: docs/initializers.md."""

import random

import keras
import numpy as np
from keras import ops

from keras_vrnn import _checks as checks


@keras.saving.register_keras_serializable(package="keras_vrnn")
class ScaledIdentity(keras.initializers.Initializer):
    """W_h = gain·I + N(0, noise²)

    With φ = ReLU and gain 1 the IRNN (Le, Jaitly & Hinton 2015, "A Simple Way to Initialize Recurrent Networks
    of Rectified Linear Units", section 2): without input the state stays as it is, and so does the gradient.
    For tasks with shorter dependencies the paper uses a smaller gain (section 4.4: 0.01).

    Args:
        gain: The diagonal.
        noise: Standard deviation of Gaussian noise on all entries, to tell units apart.
        seed: Integer seed of the noise.

    Example:
    >>> ScaledIdentity(0.5)((2, 2)).numpy().tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, gain=1.0, noise=0.0, seed=None):
        self.gain = checks.number("gain", gain)
        self.noise = checks.number("noise", noise, at_least=0.0)
        self.seed = checks.seed("seed", seed)
        self._drawn_seed = _fixed(self.seed)

    def __call__(self, shape, dtype=None):
        units = _square(self, shape)
        value = self.gain * np.eye(units)
        if self.noise:
            value = value + self.noise * np.random.default_rng(self._drawn_seed).normal(size=(units, units))
        return ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {"gain": self.gain, "noise": self.noise, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_vrnn")
class SpectralRadius(keras.initializers.Initializer):
    """W_h = radius · A / max|eig(A)|, A random normal

    The largest eigenvalue of W_h in magnitude is `radius`: the rate at which a linear recurrence forgets
    (below 1) or explodes (above 1). Usual in echo state networks (Jaeger 2001, "The echo state approach",
    section 3), and a start near the edge for trained ones (Pascanu, Mikolov & Bengio 2013, section 2.1).
    Unlike `Orthogonal`, whose singular values all are 1, single directions may still grow for some steps.

    Args:
        radius: Spectral radius, positive.
        seed: Integer seed.

    Example:
    >>> kernel = SpectralRadius(0.9, seed=0)((8, 8)).numpy()
    >>> round(float(abs(np.linalg.eigvals(kernel)).max()), 4)
    0.9
    """

    def __init__(self, radius=0.95, seed=None):
        self.radius = checks.number("radius", radius, above=0.0)
        self.seed = checks.seed("seed", seed)
        self._drawn_seed = _fixed(self.seed)

    def __call__(self, shape, dtype=None):
        units = _square(self, shape)
        value = np.random.default_rng(self._drawn_seed).normal(size=(units, units))
        value *= self.radius / np.max(np.abs(np.linalg.eigvals(value)))
        return ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())

    def get_config(self):
        return {"radius": self.radius, "seed": self.seed}


def _fixed(seed):
    # NumPy draws, for its eigenvalues are there on every backend and while a function is traced. As in
    # Keras, an initializer without a seed gives the same values each time it is called, and Python's
    # generator, which `keras.utils.set_random_seed` seeds, chooses them.
    return seed if seed is not None else random.randint(1, 10**9)


def _square(initializer, shape):
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(
            f"`{type(initializer).__name__}` is for recurrent kernels: `shape` must be (units, units). "
            f"Received: shape={tuple(shape)}. Give it as `recurrent_initializer`."
        )
    return shape[0]

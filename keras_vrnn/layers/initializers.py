"""Initializers of the recurrent kernel. docs/initializers.md compares them."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vrnn import _checks as checks

__all__ = [
    "ScaledIdentity",
    "SpectralRadius",
]


def __dir__() -> list[str]:
    return __all__


@keras.saving.register_keras_serializable(package="keras_vrnn")
class ScaledIdentity(keras.initializers.Initializer):
    """A multiple of the identity, with optional noise.

        W_h = gain·I + N(0, noise²)

    With φ = ReLU and gain 1 this is the IRNN (Le, Jaitly & Hinton 2015, "A Simple Way to Initialize Recurrent
    Networks of Rectified Linear Units", section 2): without input, the state and the gradient stay unchanged.
    For tasks with shorter dependencies the paper uses a smaller gain (section 4.4: 0.01).

    Args:
        gain: The diagonal.
        noise: Standard deviation of Gaussian noise on all entries, which makes the units differ.
        seed: Integer seed of the noise.

    Examples:
        >>> ScaledIdentity(0.5)((2, 2)).numpy().tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """

    def __init__(self, gain: float = 1.0, noise: float = 0.0, seed: int | None = None) -> None:
        self.gain = checks.number("gain", gain)
        self.noise = checks.number("noise", noise, at_least=0.0)
        self.seed = checks.seed("seed", seed)
        self._drawn_seed = _fixed(self.seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        units = _square(self, shape)
        value = self.gain * np.eye(units)
        if self.noise:
            value = value + self.noise * np.random.default_rng(self._drawn_seed).normal(size=(units, units))
        return ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "noise": self.noise, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_vrnn")
class SpectralRadius(keras.initializers.Initializer):
    """A random matrix, scaled to a given spectral radius.

        W_h = radius · A / max|eig(A)|    A random normal

    The largest eigenvalue of W_h in magnitude is `radius`: the rate at which a linear recurrence forgets
    (below 1) or explodes (above 1). Common in echo state networks (Jaeger 2001, "The echo state approach",
    section 3), and for trained networks a start near the edge (Pascanu, Mikolov & Bengio 2013, section 2.1).
    Single directions may still grow for some steps, unlike with `Orthogonal`, whose singular values are all 1.

    Args:
        radius: Spectral radius, positive.
        seed: Integer seed.

    Examples:
        >>> kernel = SpectralRadius(0.9, seed=0)((8, 8)).numpy()
        >>> round(float(abs(np.linalg.eigvals(kernel)).max()), 4)
        0.9
    """

    def __init__(self, radius: float = 0.95, seed: int | None = None) -> None:
        self.radius = checks.number("radius", radius, above=0.0)
        self.seed = checks.seed("seed", seed)
        self._drawn_seed = _fixed(self.seed)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        units = _square(self, shape)
        value = np.random.default_rng(self._drawn_seed).normal(size=(units, units))
        value *= self.radius / np.max(np.abs(np.linalg.eigvals(value)))
        return ops.convert_to_tensor(value, dtype=dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {"radius": self.radius, "seed": self.seed}


def _fixed(seed):
    # NumPy draws, because it computes eigenvalues on every backend and while a function is traced. As in Keras, an
    # initializer without a seed returns the same values each time it is called; they come from Python's generator,
    # which `keras.utils.set_random_seed` seeds.
    return seed if seed is not None else random.randint(1, 10**9)


def _square(initializer, shape):
    if len(shape) != 2 or shape[0] != shape[1]:
        must = f"be (units, units), because `{type(initializer).__name__}` initializes recurrent kernels"
        raise checks.refused("shape", must, tuple(shape), "Pass it as `recurrent_initializer`.")
    return shape[0]

"""Truncated BPTT: an oracle in float64 NumPy, with one update of plain SGD per window, and a model to compare."""

import keras
import numpy as np
from reference import Problem, backward, forward

import keras_vrnn as kv


class Oracle:
    """Trains h_t → Dense by mean squared error.

    Args:
        weights: kernel, recurrent kernel and bias of a vanilla RNN, of a FastRNN alpha and beta too; then kernel and
            bias of a dense layer.
        rate: learning rate.
    """

    def __init__(self, weights, rate):
        self.weights = [np.float64(w) for w in weights]
        self.rate = rate
        self.norms = []

    def window(self, x, y, state=None, mask=None, weight=None):
        """One update, from the mean over what counts in the window; → (final state, sum of the losses before it)."""
        kernel, recurrent, bias, *rates, dense, offset = self.weights
        rates = dict(zip(("alpha", "beta"), rates, strict=False))
        counts = np.ones(x.shape[:2], bool) if mask is None else mask
        weight = np.ones(x.shape[:2]) if weight is None else weight
        problem = Problem(x, kernel, recurrent, bias, initial_state=state, mask=counts, **rates)
        h = forward(problem)
        error = h @ dense + offset - y
        share = weight * counts
        d = 2 * error / y.shape[-1] * share[..., None] / max(counts.sum(), 1)
        g = backward(problem, d_outputs=d @ dense.T)
        gradients = [g.kernel, g.recurrent_kernel, g.bias, *(getattr(g, name) for name in rates)]
        gradients += [np.einsum("btu,btc->uc", h, d), d.sum((0, 1))]
        self.norms.append(np.sqrt(sum(np.sum(each**2) for each in gradients)))
        self.weights = [w - self.rate * each for w, each in zip(self.weights, gradients, strict=True)]
        return h[:, -1], np.sum(np.mean(error**2, -1) * share)

    def train(self, x, y, k, mask=None, weight=None):
        """Goes through a batch; returns its loss as Keras has it over whole sequences, outputs before the updates."""
        state, total = None, 0.0
        for start in range(0, x.shape[1], k):
            part = slice(start, start + k)
            own = [None if array is None else array[:, part] for array in (mask, weight)]
            state, loss = self.window(x[:, part], y[:, part], state, *own)
            total += loss
        return total / (np.size(x[..., 0]) if mask is None else mask.sum())

    def flat(self):
        return np.concatenate([np.ravel(w) for w in self.weights])


BATCH, FEATURES, UNITS, TARGETS, RATE = 3, 4, 5, 2, 0.3


def data(time, seed=0, batch=BATCH):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, time, FEATURES)).astype("float32")
    return x, rng.normal(size=(batch, time, TARGETS)).astype("float32")


def vanilla_model(k, masked=False, optimizer=None, recurrent=None, **compile_args):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((None, FEATURES))]
    layers += [keras.layers.Masking(9.0)] if masked else []
    layers += recurrent or [kv.VanillaRNN(UNITS, return_sequences=True, bias_initializer="random_normal")]
    model = kv.Sequential([*layers, keras.layers.Dense(TARGETS)])
    compile_args = {"steps_per_execution": 1, "loss": "mse", **compile_args}
    model.compile(optimizer or keras.optimizers.SGD(RATE), truncate_steps=k, **compile_args)
    return model

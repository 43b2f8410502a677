"""One recurrence, written as a loop or step by step, against the float64 oracle."""

import numpy as np
import pytest
import tensorflow as tf
from small_graphs import finished, new_graph, run

import keras_vrnn as kv
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting.parts import Recurrence
from keras_vrnn.tflite.exporting.recurrences import cell_of
from keras_vrnn.tflite.exporting.recurrences.base import Formats
from keras_vrnn.tflite.exporting.writing import recurrence as recurrences

rng = np.random.default_rng(4)
B, F = 2, 3


def oracle(layer, x, mask, h):
    """All outputs in the order of the steps made, and the last state."""
    kernel, recurrent, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
    order = range(x.shape[1])
    outputs = []
    for t in reversed(order) if layer.go_backwards else order:
        new = np.tanh(x[:, t] @ kernel + h @ recurrent + bias)
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        h = np.where(keep, new, h)
        outputs.append(np.where(keep, h, 0.0) if layer.zero_output_for_mask else h)
    return np.stack(outputs, axis=1), h


@pytest.mark.parametrize("unrolled", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(("masked", "zero"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("timesteps", [1, 4, 5])  # an odd number has no blocks of two steps
@pytest.mark.parametrize("units", [2, 5])  # with more units than features the loop may compute z itself
def test_against_the_oracle(unrolled, backwards, sequences, masked, zero, timesteps, units):
    layer = kv.VanillaRNN(
        units,
        return_sequences=sequences,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=zero,
    )
    layer.build((B, timesteps, F))
    layer.set_weights([rng.normal(size=w.shape) / 2 for w in layer.get_weights()])
    x, h = rng.normal(size=(B, timesteps, F)).astype("float32"), rng.normal(size=(B, units)).astype("float32")
    mask = rng.random((B, timesteps)) < 0.6 if masked else None
    file, main = new_graph()
    values = {"x": main.tensor("x", x.shape, np.float32), "h": main.tensor("h", h.shape, np.float32)}
    if masked:
        values["mask"] = main.tensor("mask", mask.shape, np.bool_)
    inputs = list(values.values())
    with tf.init_scope():
        cell = cell_of(layer)
    part = Recurrence(
        name="rnn",
        layer=layer.name,
        cell=cell,
        go_backwards=backwards,
        zero_output_for_mask=zero,
        timesteps=timesteps,
        x="x",
        mask="mask" if masked else None,
        initial_states=("h",),
        sequence="sequence" if sequences else None,
        finals=("final",),
    )
    recurrences.write(part, Formats(SCHEMES["float32"]), file, values, unrolled)
    names = ["sequence", "final"] if sequences else ["final"]
    made = run(finished(file, inputs, [values[n] for n in names]), *([x, h] + ([mask] if masked else [])))
    outputs, final = oracle(layer, x.astype("float64"), mask, h.astype("float64"))
    # float32 rounding over at most five steps
    np.testing.assert_allclose(made[-1], final, atol=1e-5)
    if sequences:
        np.testing.assert_allclose(made[0], outputs, atol=1e-5)

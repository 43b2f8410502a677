"""The loss that is differentiated, against the compiled loss and NumPy, and the loss by chance."""

import keras
import numpy as np
import pytest
from flows import linear, normal, only
from keras import layers

import keras_vrnn as kv
from keras_vrnn.diagnostics import gradient_flow, losses

# float32 rounding of 4e-8, over a few dozen steps back.
SINGLE = 1e-5
X, Y = np.ones((2, 5, 3), "float32"), np.ones((2, 1), "float32")


def test_chance_is_the_loss_of_other_targets():
    model = keras.Sequential([keras.Input((5, 1)), layers.SimpleRNN(1, activation="linear", use_bias=False)])
    model.set_weights([np.ones((1, 1)), np.zeros((1, 1))])
    x = normal(8, 5, 1)
    flow = gradient_flow(model, x, x[:, -1], "mse")
    others = [np.mean((x[:, -1] - np.roll(x[:, -1], shift)) ** 2) for shift in range(1, 8)]
    assert flow.chance == pytest.approx(np.mean(others), rel=1e-5)  # float32
    assert flow.loss == pytest.approx(0, abs=1e-12)
    assert np.isnan(gradient_flow(model, x[:1], x[:1, -1], "mse").chance)


def test_regularization_does_not_count_as_loss():
    regularized = layers.SimpleRNN(
        1, activation="linear", use_bias=False, kernel_regularizer=keras.regularizers.L2(100.0)
    )
    model = keras.Sequential([keras.Input((5, 1)), regularized])
    model.set_weights([np.ones((1, 1)), np.zeros((1, 1))])
    model.compile("sgd", "mse")
    x = normal(8, 5, 1)
    flow = gradient_flow(model, x, x[:, -1])
    assert flow.loss == pytest.approx(100, rel=1e-5)
    assert flow.layers[0].relative_loss < 1e-4
    assert flow.layers[0].has_learned


def test_masks_count_as_in_training():
    """The compiled loss leaves padded steps out, and so does gradient_flow."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 6, 2)).astype("float32")
    x[:, 4:] = 0
    y = rng.normal(size=(3, 6, 1)).astype("float32")
    model = keras.Sequential(
        [keras.Input((6, 2)), layers.Masking(), layers.GRU(4, return_sequences=True), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    flow = gradient_flow(model, x, y)
    assert flow.loss == pytest.approx(model.evaluate(x, y, verbose=0), rel=SINGLE)
    assert gradient_flow(model, x, y, "mse").loss == pytest.approx(flow.loss, rel=SINGLE)
    other = y.copy()
    other[:, 4:] += 1
    np.testing.assert_array_equal(only(gradient_flow(model, x, other)).norms, only(flow).norms)


@pytest.mark.parametrize(
    ("y", "outputs", "expected"),
    [
        ((4, 7, 2), (4, 7, 2), 7),
        ((4, 7), (4, 7, 9), 7),  # sparse labels
        ((4, 1), (4, 1), None),
        ((4, 3), (4, 7, 9), None),
        ([(4, 7, 2), (4, 1)], [(4, 7, 2), (4, 1)], None),  # one of two outputs
    ],
)
def test_targets_per_step(y, outputs, expected):
    y, outputs = (
        [np.zeros(shape) for shape in given] if isinstance(given, list) else np.zeros(given)
        for given in (y, outputs)
    )
    assert losses.target_steps(y, outputs) == expected


# Bad input.


def test_a_missing_loss():
    with pytest.raises(ValueError, match=r"not compiled with a loss. Compile it, or name the loss"):
        gradient_flow(linear(1.0, 5), X, Y)


def test_one_loss_for_two_outputs():
    x = keras.Input((5, 3))
    h = kv.VanillaRNN(4)(x)
    with pytest.raises(ValueError, match=r"`loss` must be None for a model with several outputs: .* has 2"):
        gradient_flow(keras.Model(x, [layers.Dense(1)(h), layers.Dense(1)(h)]), X, [Y, Y], "mse")

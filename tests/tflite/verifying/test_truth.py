"""Which answers count as labels and which as targets."""

import numpy as np
import pytest

from keras_vrnn.tflite.verifying.truth import interpret, predictions

RNG = np.random.default_rng(0)
CLASSES, STEPS = RNG.random((10, 3)), RNG.random((10, 5, 3))
SHARE, REAL = RNG.random((10, 1)), RNG.normal(size=(10, 1))


@pytest.mark.parametrize(
    ("y", "output", "labels"),
    [
        (np.arange(10) % 3, CLASSES, np.arange(10) % 3),
        (np.arange(10.0)[:, None] % 3, CLASSES, np.arange(10) % 3),
        (np.eye(3)[np.arange(10) % 3], CLASSES, np.arange(10) % 3),
        (np.arange(50).reshape(10, 5) % 3, STEPS, np.arange(50).reshape(10, 5) % 3),
        (np.arange(10) % 2, SHARE, np.arange(10) % 2),
        (np.arange(10)[:, None] % 2 == 1, SHARE, np.arange(10) % 2),
    ],
)
def test_labels(y, output, labels):
    truth = interpret(y, output)
    assert truth.targets is None
    np.testing.assert_array_equal(truth.labels, labels)


@pytest.mark.parametrize(
    ("y", "output"),
    [
        (np.linspace(0, 1, 10), SHARE),
        (np.arange(10), SHARE),  # whole numbers, but no side of one half
        (np.arange(10) % 2, REAL),  # the output leaves 0 to 1
        (RNG.normal(size=(10, 3)), CLASSES),
        (np.ones((10, 3)), CLASSES),  # 0 and 1, but several in a row
        (RNG.normal(size=(10, 5, 3)), STEPS),
        (RNG.normal(size=(10, 5)), RNG.normal(size=(10, 5, 1))),
        (RNG.normal(size=10), RNG.normal(size=10)),  # an output without a second axis
    ],
)
def test_targets(y, output):
    truth = interpret(y, output)
    assert truth.labels is None
    np.testing.assert_array_equal(truth.targets, np.reshape(y, output.shape))


@pytest.mark.parametrize(
    ("y", "output", "message"),
    [
        (
            np.zeros(9),
            CLASSES,
            r"labels of shape \(10,\) or targets of shape \(10, 3\). Received the shape \(9,\)",
        ),
        (np.full(10, 3), CLASSES, "class indices from 0 to 2"),
        (np.full(10, -1), CLASSES, "class indices from 0 to 2"),
        (np.full(10, 0.5), CLASSES, "class indices from 0 to 2"),
        (np.full(10, np.nan), SHARE, "must hold finite numbers"),
        (np.full(10, "a"), SHARE, "must hold finite numbers"),
    ],
)
def test_answers_that_fit_nothing(y, output, message):
    with pytest.raises(ValueError, match=message):
        interpret(y, output)


def test_predictions():
    np.testing.assert_array_equal(predictions(CLASSES, CLASSES), CLASSES.argmax(-1))
    np.testing.assert_array_equal(predictions(SHARE, SHARE), SHARE[:, 0] >= 0.5)
    # What the file gives may leave 0 to 1 by a rounding step; Keras' output decides.
    np.testing.assert_array_equal(predictions(SHARE + 1, SHARE), np.ones(10))
    assert predictions(SHARE, REAL) is None
    assert predictions(np.ones(10), np.ones(10)) is None

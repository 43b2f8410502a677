"""Loss and accuracies over real tokens, by hand."""

import keras
import numpy as np
import pytest

from keras_vrnn.models import SequenceAccuracy, TokenAccuracy, TokenCrossentropy

Y = np.array([[3, 1, 0], [2, 0, 0]])
LOGITS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
LOG_P = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_real_tokens(smoothing):
    loss = TokenCrossentropy(label_smoothing=smoothing)
    terms = [
        (1 - smoothing) * -LOG_P[r, t, Y[r, t]] + smoothing * -LOG_P[r, t].mean()
        for r, t in ((0, 0), (0, 1), (1, 0))
    ]
    assert float(loss(Y, LOGITS)) == pytest.approx(np.mean(terms), rel=1e-5)  # float32
    weighted = float(loss(Y, LOGITS, sample_weight=np.array([2.0, 0.0])))
    assert weighted == pytest.approx(2 * (terms[0] + terms[1]) / 3, rel=1e-5)
    again = TokenCrossentropy.from_config(loss.get_config())
    assert float(again(Y, LOGITS)) == float(loss(Y, LOGITS))


def test_padding_alone_costs_nothing():
    assert float(TokenCrossentropy()(np.zeros((2, 3), int), LOGITS)) == 0


@pytest.mark.parametrize("value", [1.0, -0.1, "a", float("nan")])
def test_label_smoothing_is_checked(value):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be a number in \[0, 1\), the share"):
        TokenCrossentropy(label_smoothing=value)


def test_accuracies():
    right = keras.ops.one_hot(Y, 4)
    one_wrong = keras.ops.one_hot(np.array([[3, 2, 3], [2, 3, 3]]), 4)
    for metric, expected in ((TokenAccuracy(), 2 / 3), (SequenceAccuracy(), 1 / 2)):
        metric.update_state(Y, right)
        assert float(metric.result()) == 1
        metric.reset_state()
        metric.update_state(Y, one_wrong)
        assert float(metric.result()) == pytest.approx(expected)
        metric.reset_state()
        metric.update_state(Y, one_wrong, sample_weight=np.array([0.0, 1.0]))
        assert float(metric.result()) == 1

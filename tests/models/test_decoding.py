"""`EncoderDecoder.decode`: batches, and the cache of compiled searches; the searches themselves: test_search.py."""

import gc
import weakref

import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.models import decoding

SOURCE = np.array([[3, 4, 5], [7, 3, 0], [4, 0, 0]])


@pytest.fixture
def model():
    return kv.EncoderDecoder(9, 9, 4)


@pytest.mark.parametrize("width", [1, 3])
def test_batches_change_nothing(model, width):
    whole = model.decode(SOURCE, beam_width=width, max_length=4)
    parts = model.decode(SOURCE, beam_width=width, max_length=4, batch_size=2)
    np.testing.assert_array_equal(parts.tokens, whole.tokens)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-5)  # float32 in other batches


def test_searches_are_compiled_once_per_setting_and_go_with_the_model(model):
    model.decode(SOURCE, max_length=3)
    model.decode(SOURCE[:1], max_length=3, length_penalty=0)
    assert len(decoding._COMPILED[model]) == 1
    model.decode(SOURCE, max_length=3, length_penalty=0.5)
    assert len(decoding._COMPILED[model]) == 2
    another = kv.EncoderDecoder(9, 9, 2)
    another.decode(SOURCE, max_length=2)
    gone = weakref.ref(another)
    assert another in decoding._COMPILED
    del another
    gc.collect()
    assert gone() is None


def test_weights_set_after_compiling_are_used(model):
    first = model.decode(SOURCE, max_length=4).log_probabilities
    model.set_weights([w * 1.5 for w in model.get_weights()])
    assert not np.allclose(model.decode(SOURCE, max_length=4).log_probabilities, first)

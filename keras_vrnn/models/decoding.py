"""`EncoderDecoder.decode`: the model as a step function, and its compiled searches.

Needs the TensorFlow backend.
"""

import math
import numbers
import weakref

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn import _checks as checks
from keras_vrnn.hypotheses import Hypotheses
from keras_vrnn.models import search as decoding
from keras_vrnn.models import token_checks

# Compiled searches of each model, by their settings.
_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def decode(model, source, beam_width, max_length, length_penalty, batch_size):
    """See `EncoderDecoder.decode`."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"decode needs the TensorFlow backend of Keras, received {keras.backend.backend()!r}."
        )
    config = model.get_config()
    source = token_checks.tokens("source", source, config["source_vocab_size"], config["source_length"])
    width = checks.positive_int("beam_width", beam_width)
    batch_size = checks.positive_int("batch_size", batch_size)
    if max_length is None:
        max_length = config["target_length"] or 2 * source.shape[1] + 10
    max_length = checks.positive_int("max_length", max_length)
    is_number = isinstance(length_penalty, numbers.Real) and not isinstance(length_penalty, bool)
    if not is_number or not math.isfinite(length_penalty) or length_penalty < 0:
        raise ValueError(
            f"`length_penalty` must be a finite number ≥ 0. Received: length_penalty={length_penalty!r}"
        )
    searches = _COMPILED.setdefault(model, {})
    settings = (width, max_length, float(length_penalty))
    if settings not in searches:
        searches[settings] = _compiled(model, *settings)
    parts = [
        searches[settings](source[start : start + batch_size]) for start in range(0, len(source), batch_size)
    ]
    return Hypotheses(
        *(np.concatenate([np.asarray(x) for x in column]) for column in zip(*parts, strict=True))
    )


def _compiled(model, width, max_length, exponent):
    reference = weakref.ref(model)  # the cache must not keep its key alive
    settings = dict(start=model.start, end=model.end, max_length=max_length, exponent=exponent)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def search(source):
        model, rows = reference(), tf.shape(source)[0]
        states, attended = model.encode(source)
        best = decoding.greedy(_step(model, attended), states, rows, **settings)
        if width == 1:
            return best
        repeated = tf.nest.map_structure(lambda x: tf.repeat(x, width, axis=0), (states, attended))
        step = _step(model, repeated[1])
        return decoding.better_of(decoding.beam(step, repeated[0], rows, width=width, **settings), best)

    return search


def _step(model, attended):
    def step(tokens, states):
        logits, states = model.advance(tokens, states, attended)
        return tf.nn.log_softmax(tf.cast(logits, tf.float32)), states

    return step

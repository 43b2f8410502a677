"""`EncoderDecoder.decode`: turns the model into a step function and compiles searches over it.

Needs the TensorFlow backend.
"""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_vrnn import _checks as checks
from keras_vrnn.hypotheses import Hypotheses
from keras_vrnn.models import search, token_checks

# Compiled searches of each model, by their settings.
_COMPILED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def decode(
    model: Any,
    source: Any,
    beam_width: int,
    max_length: int | None,
    length_penalty: float,
    batch_size: int,
) -> Hypotheses:
    """See `EncoderDecoder.decode`."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"`decode` needs the TensorFlow backend of Keras. Received: backend={keras.backend.backend()!r}. "
            "Set KERAS_BACKEND=tensorflow."
        )
    config = model.get_config()
    source = token_checks.tokens("source", source, config["source_vocab_size"], config["source_length"])
    width = checks.positive_int("beam_width", beam_width)
    batch_size = checks.positive_int("batch_size", batch_size)
    if max_length is None:
        max_length = config["target_length"] or 2 * source.shape[1] + 10
    max_length = checks.positive_int("max_length", max_length)
    exponent = checks.number("length_penalty", length_penalty, at_least=0)
    searches = _COMPILED.setdefault(model, {})
    settings = (width, max_length, exponent)
    if settings not in searches:
        searches[settings] = _compiled(model, *settings)
    parts = [
        searches[settings](source[start : start + batch_size]) for start in range(0, len(source), batch_size)
    ]
    return Hypotheses(
        *(np.concatenate([np.asarray(x) for x in column]) for column in zip(*parts, strict=True))
    )


def _compiled(model, width, max_length, exponent):
    reference = weakref.ref(model)  # the cache must not keep the model alive
    settings = dict(start=model.start, end=model.end, max_length=max_length, exponent=exponent)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def run(source):
        model, rows = reference(), tf.shape(source)[0]
        states, attended = model.encode(source)
        best = search.greedy(_step(model, attended), states, rows, **settings)
        if width == 1:
            return best
        repeated = tf.nest.map_structure(lambda x: tf.repeat(x, width, axis=0), (states, attended))
        step = _step(model, repeated[1])
        return search.better_of(search.beam(step, repeated[0], rows, width=width, **settings), best)

    return run


def _step(model, attended):
    def step(tokens, states):
        logits, states = model.advance(tokens, states, attended)
        return tf.nn.log_softmax(tf.cast(logits, tf.float32)), states

    return step

"""Greedy and beam search over a step function, as TensorFlow graphs.

A *step* is a function (tokens (rows,), states) → (log p (rows, vocabulary), states): from the last token of each row
and the states, it returns log p of the next token and the new states. The first axis of each state is the rows.

Needs the TensorFlow backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_vrnn.hypotheses import length_penalty
from keras_vrnn.symbols import PADDING

Step = Callable[[Any, Any], tuple[Any, Any]]


def greedy(
    step: Step, states: Any, rows: Any, *, start: int, end: int, max_length: int, exponent: float = 0.0
) -> tuple:
    """Takes the likeliest token at each step, until all rows have ended.

    Returns:
        tokens (rows, 1, max_length), lengths, log-probabilities and scores (rows, 1).
    """

    def body(t, last, done, log_p, tokens, states):
        step_log_p, states = step(last, states)
        step_log_p = _allowed(step_log_p, start)
        chosen = tf.argmax(step_log_p, axis=-1, output_type=tf.int32)
        log_p += tf.where(done, 0.0, tf.gather(step_log_p, chosen, batch_dims=1))
        chosen = tf.where(done, PADDING, chosen)
        tokens = tf.where(tf.range(max_length) == t, chosen[:, None], tokens)
        return t + 1, chosen, done | (chosen == end), log_p, tokens, states

    first = (
        0,
        tf.fill([rows], start),
        tf.zeros([rows], tf.bool),
        tf.zeros([rows]),
        tf.fill([rows, max_length], PADDING),
        states,
    )
    _, _, _, log_p, tokens, _ = tf.while_loop(
        lambda t, last, done, *_: ~tf.reduce_all(done), body, first, maximum_iterations=max_length
    )
    lengths = tf.math.count_nonzero(tokens, axis=-1, dtype=tf.int32)
    return tuple(x[:, None] for x in (tokens, lengths, log_p, _score(log_p, lengths, exponent)))


def beam(
    step: Step,
    states: Any,
    rows: Any,
    *,
    start: int,
    end: int,
    max_length: int,
    width: int,
    exponent: float = 0.0,
) -> tuple:
    """Keeps the `width` hypotheses with the highest scores at each step, including ended ones, until all have ended.

    Args:
        states: as the step takes them for rows·width rows; the rows of one source are adjacent.

    Returns:
        tokens (rows, width, max_length), lengths, log-probabilities and scores (rows, width), best first.
    """
    minus_infinity = tf.constant(-np.inf)

    def body(t, last, done, log_p, tokens, states):
        step_log_p, states = step(tf.reshape(last, [-1]), states)
        vocabulary = step_log_p.shape[-1]
        step_log_p = tf.reshape(_allowed(step_log_p, start), [rows, width, vocabulary])
        # A hypothesis that has ended continues with padding, at no cost.
        only_padding = tf.where(tf.range(vocabulary) == PADDING, 0.0, minus_infinity)
        total = log_p[:, :, None] + tf.where(done[:, :, None], only_padding, step_log_p)
        lengths = _lengths(tokens) + tf.cast(~done, tf.int32)
        score = _score(total, lengths[:, :, None], exponent)
        _, index = tf.math.top_k(tf.reshape(score, [rows, width * vocabulary]), width)
        parent, chosen = index // vocabulary, index % vocabulary
        log_p = tf.gather(tf.reshape(total, [rows, width * vocabulary]), index, batch_dims=1)
        tokens = tf.gather(tokens, parent, batch_dims=1)
        tokens = tf.where(tf.range(max_length) == t, chosen[:, :, None], tokens)
        done = tf.gather(done, parent, batch_dims=1) | (chosen == end)
        flat = tf.reshape(parent + width * tf.range(rows)[:, None], [-1])
        states = tf.nest.map_structure(lambda state: tf.gather(state, flat), states)
        return t + 1, chosen, done, log_p, tokens, states

    first = (
        0,
        tf.fill([rows, width], start),
        tf.zeros([rows, width], tf.bool),
        # One hypothesis at the start: the others would be copies of it.
        tf.where(tf.range(width) == 0, 0.0, minus_infinity) + tf.zeros([rows, 1]),
        tf.fill([rows, width, max_length], PADDING),
        states,
    )
    _, _, _, log_p, tokens, _ = tf.while_loop(
        lambda t, last, done, log_p, *_: ~tf.reduce_all(done | (log_p == minus_infinity)),
        body,
        first,
        maximum_iterations=max_length,
    )
    lengths = _lengths(tokens)
    return tokens, lengths, log_p, _score(log_p, lengths, exponent)


def better_of(beams: tuple, greedy_one: tuple) -> tuple:
    """The hypotheses of a beam, including the greedy hypothesis where its score is high enough.

    A beam may drop the greedy hypothesis for prefixes that were likelier and ended badly.
    """
    found = tf.reduce_any(tf.reduce_all(beams[0] == greedy_one[0], axis=-1), axis=-1, keepdims=True)
    tokens, lengths, log_p, scores = (tf.concat(pair, axis=1) for pair in zip(beams, greedy_one, strict=True))
    # A hypothesis that the beam has found must not appear twice.
    rank = tf.concat([beams[3], tf.where(found, -np.inf, greedy_one[3])], axis=1)
    _, index = tf.math.top_k(rank, tf.shape(beams[3])[1])
    return tuple(tf.gather(x, index, batch_dims=1) for x in (tokens, lengths, log_p, scores))


def _allowed(log_p, start):
    """Log p with padding and start excluded: neither may follow in a sequence."""
    tokens = tf.range(log_p.shape[-1])
    return tf.where((tokens == PADDING) | (tokens == start), -np.inf, log_p)


def _lengths(tokens):
    return tf.math.count_nonzero(tokens, axis=-1, dtype=tf.int32)


def _score(log_p, lengths, exponent):
    return log_p / length_penalty(tf.cast(lengths, tf.float32), exponent)

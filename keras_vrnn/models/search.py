"""Greedy and beam search over a step function, as TensorFlow graphs.

A *step* maps the last token of each row and the states to log p of the next token and the new states:
(tokens (rows,), states) → (log p (rows, vocabulary), states), each state with the rows first.

Needs the TensorFlow backend.
"""

import numpy as np
import tensorflow as tf

from keras_vrnn.symbols import PADDING


def penalty(lengths, exponent):
    """((5 + length) / 6)^exponent (Wu et al. 2016, equation 14): above 0 it favours longer sequences."""
    return ((5.0 + tf.cast(lengths, tf.float32)) / 6.0) ** exponent


def greedy(step, states, rows, *, start, end, max_length, exponent=0.0):
    """The likeliest token at each step, until all rows have ended.

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
    return tuple(x[:, None] for x in (tokens, lengths, log_p, log_p / penalty(lengths, exponent)))


def beam(step, states, rows, *, start, end, max_length, width, exponent=0.0):
    """The `width` hypotheses of highest score at each step, ended ones among them, until all have ended.

    Args:
        states: as the step wants them for rows·width rows, those of one source next to each other.

    Returns:
        tokens (rows, width, max_length), lengths, log-probabilities and scores (rows, width), best first.
    """
    minus_infinity = tf.constant(-np.inf)

    def body(t, last, done, log_p, tokens, states):
        step_log_p, states = step(tf.reshape(last, [-1]), states)
        vocabulary = step_log_p.shape[-1]
        step_log_p = tf.reshape(_allowed(step_log_p, start), [rows, width, vocabulary])
        # A hypothesis that has ended goes on with padding, at no cost.
        only_padding = tf.where(tf.range(vocabulary) == PADDING, 0.0, minus_infinity)
        total = log_p[:, :, None] + tf.where(done[:, :, None], only_padding, step_log_p)
        lengths = _lengths(tokens) + tf.cast(~done, tf.int32)
        score = total / penalty(lengths, exponent)[:, :, None]
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
    return tokens, lengths, log_p, log_p / penalty(lengths, exponent)


def better_of(beams, greedy_one):
    """The beam's hypotheses, the greedy one among them where its score is high enough.

    A beam may lose the greedy hypothesis on the way: to prefixes that were likelier, and ended badly.
    """
    found = tf.reduce_any(tf.reduce_all(beams[0] == greedy_one[0], axis=-1), axis=-1, keepdims=True)
    tokens, lengths, log_p, scores = (tf.concat(pair, axis=1) for pair in zip(beams, greedy_one, strict=True))
    # A hypothesis that the beam has found shall not be there twice.
    rank = tf.concat([beams[3], tf.where(found, -np.inf, greedy_one[3])], axis=1)
    _, index = tf.math.top_k(rank, tf.shape(beams[3])[1])
    return tuple(tf.gather(x, index, batch_dims=1) for x in (tokens, lengths, log_p, scores))


def _allowed(log_p, start):
    """Log p without padding and start, which no sequence goes on with."""
    tokens = tf.range(log_p.shape[-1])
    return tf.where((tokens == PADDING) | (tokens == start), -np.inf, log_p)


def _lengths(tokens):
    return tf.math.count_nonzero(tokens, axis=-1, dtype=tf.int32)

"""Greedy and beam search against the enumeration of all sequences, in float64 NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_vrnn.models import search

START, END, LENGTH = 1, 2, 4
SYMBOLS = (3, 4)
# Σ of at most 4 float32 log-probabilities of magnitude up to about 20.
ROUNDING = 1e-4


class TinyDecoder:
    """h ← tanh(E[token] + A·h), log p = log softmax(V·h): five tokens, three units; sources are states."""

    def __init__(self, seed, peak=3.0):
        rng = np.random.default_rng(seed)
        self.embedding, self.recurrent = rng.normal(size=(5, 3)), rng.normal(size=(3, 3))
        self.output = peak * rng.normal(size=(3, 5))
        self.states = rng.normal(size=(2, 3))

    def step(self, tokens, states):
        embedding, recurrent, output = (
            tf.constant(w, tf.float32) for w in (self.embedding, self.recurrent, self.output)
        )
        h = tf.tanh(tf.gather(embedding, tokens) + states[0] @ recurrent)
        return tf.nn.log_softmax(h @ output), [h]

    def log_probability(self, row, tokens):
        """The oracle: Σ log p of a sequence that starts from a source's state."""
        h, total, last = self.states[row], 0.0, START
        for token in tokens:
            h = np.tanh(self.embedding[last] + h @ self.recurrent)
            logits = h @ self.output
            total += logits[token] - np.log(np.exp(logits).sum())
            last = token
        return total

    def search(self, width=None, **settings):
        settings = dict(start=START, end=END, max_length=LENGTH) | settings
        states = [tf.constant(self.states, tf.float32)]
        if width is None:
            found = search.greedy(self.step, states, 2, **settings)
        else:
            states = [tf.repeat(states[0], width, axis=0)]
            found = search.beam(self.step, states, 2, width=width, **settings)
        return [x.numpy() for x in found]


def all_sequences():
    """Every sequence that ends, and every one of full length that does not."""
    for length in range(LENGTH):
        yield from ((*symbols, END) for symbols in itertools.product(SYMBOLS, repeat=length))
    yield from itertools.product(SYMBOLS, repeat=LENGTH)


def ranked(model, row, exponent):
    """(score, padded tokens) of all sequences, best first."""

    def score(tokens):
        return model.log_probability(row, tokens) / ((5 + len(tokens)) / 6) ** exponent

    return sorted(((score(s), [*s, *[0] * (LENGTH - len(s))]) for s in all_sequences()), reverse=True)


@pytest.mark.parametrize("exponent", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_is_exhaustive(seed, exponent):
    model, width = TinyDecoder(seed), 31  # as many as there are sequences: nothing is ever dropped
    tokens, lengths, log_p, scores = model.search(width, exponent=exponent)
    for row in range(2):
        expected = ranked(model, row, exponent)
        assert len(expected) == width
        np.testing.assert_allclose(scores[row], [score for score, _ in expected], atol=ROUNDING)
        assert tokens[row].tolist() == [sequence for _, sequence in expected]
        assert lengths[row].tolist() == [np.count_nonzero(sequence) for _, sequence in expected]
        real = [[token for token in sequence if token] for _, sequence in expected]
        np.testing.assert_allclose(
            log_p[row], [model.log_probability(row, sequence) for sequence in real], atol=ROUNDING
        )


@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_likeliest_token(seed):
    model = TinyDecoder(seed)
    tokens, lengths, log_p, scores = model.search()
    for row in range(2):
        expected = []
        while len(expected) < LENGTH and END not in expected:
            expected.append(
                max((END, *SYMBOLS), key=lambda token: model.log_probability(row, [*expected, token]))
            )
        assert tokens[row, 0].tolist() == expected + [0] * (LENGTH - len(expected))
        assert lengths[row, 0] == len(expected)
        assert log_p[row, 0] == pytest.approx(model.log_probability(row, expected), abs=ROUNDING)
        assert scores[row, 0] == log_p[row, 0]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy(seed):
    for narrow, greedy in zip(TinyDecoder(seed).search(1), TinyDecoder(seed).search(), strict=True):
        np.testing.assert_allclose(narrow, greedy, atol=ROUNDING)


def trap(tokens, states):
    """A beam of two follows b, whose next step promises more than a's; but then it scatters, and a ends at once."""
    a, b, x, y, u = 3, 4, (5, 6, 7), (8, 9), (10, 11, 12)
    table = np.zeros((13, 13))
    table[START, [a, b]] = 0.55, 0.45
    table[a, x] = 0.34, 0.33, 0.33
    table[b, y] = 0.5
    table[np.ix_(y, u)] = 1 / 3
    table[np.ix_((*x, *u), [END])] = 1
    return tf.gather(tf.math.log(tf.constant(table, tf.float32)), tokens), states


def test_a_beam_with_the_greedy_hypothesis_is_not_worse_where_plain_beam_search_is():
    settings = dict(start=START, end=END, max_length=5)
    greedy = search.greedy(trap, [], 1, **settings)
    beam = search.beam(trap, [], 1, width=2, **settings)
    tokens, lengths, log_p, scores = search.better_of(beam, greedy)
    assert np.exp(greedy[3]).item() == pytest.approx(0.55 * 0.34)
    assert np.exp(beam[3])[0, 0] == pytest.approx(0.45 * 0.5 / 3)
    assert tokens[0].numpy().tolist() == [[3, 5, END, 0, 0], beam[0][0, 0].numpy().tolist()]
    assert lengths.numpy().tolist() == [[3, 4]]
    np.testing.assert_allclose(np.exp(scores), [[0.55 * 0.34, 0.45 * 0.5 / 3]], rtol=1e-5)
    np.testing.assert_array_equal(log_p, scores)


@pytest.mark.parametrize("seed", range(5))
def test_hypotheses_are_ordered_and_different(seed):
    model = TinyDecoder(seed)
    greedy, beam = model.search(), model.search(3)
    better = [x.numpy() for x in search.better_of(beam, greedy)]
    assert (better[3][:, 0] >= greedy[3][:, 0]).all()
    assert (better[3] >= beam[3]).all()
    assert (np.diff(better[3], axis=1) <= 0).all()
    for row in better[0]:
        assert len({tuple(sequence) for sequence in row}) == len(row)


@pytest.mark.parametrize("width", [None, 3])
def test_a_decoder_that_never_ends_is_stopped(width):
    model = TinyDecoder(0)
    step = model.step

    def endless(tokens, states):
        log_p, states = step(tokens, states)
        return tf.where(tf.range(5) == END, -np.inf, log_p), states

    model.step = endless
    tokens, lengths, log_p, _ = model.search(width)
    assert (lengths == LENGTH).all()
    assert not (tokens == END).any()
    assert np.isfinite(log_p).all()


@pytest.mark.parametrize("width", [None, 3])
def test_search_stops_when_all_have_ended(width):
    steps = tf.Variable(0)

    def ending(tokens, states):
        steps.assign_add(1)
        log_p = tf.math.log(tf.constant([0.0, 0.0, 1.0, 0.0, 0.0]))
        return tf.repeat(log_p[None], tf.shape(tokens)[0], axis=0), states

    model = TinyDecoder(0)
    model.step = ending
    tokens, lengths, log_p, _ = model.search(width, max_length=1000)
    assert steps.numpy() == 1
    assert tokens[:, 0, 0].tolist() == [END, END]
    assert lengths[:, 0].tolist() == [1, 1]
    assert log_p[:, 0].tolist() == [0.0, 0.0]
    assert (log_p[:, 1:] == -np.inf).all()  # there is only one sequence

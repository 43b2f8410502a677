"""The encoder-decoder: training graph against step by step, masks, loss, decoding, saving, errors."""

import inspect

import keras
import numpy as np
import pytest
from token_probabilities import log_softmax

import keras_vrnn as kv
from keras_vrnn.models import SequenceAccuracy, TokenAccuracy, TokenCrossentropy

# float32 rounding of some tens of steps of sums of a few dozen terms.
ROUNDING = 1e-5

VARIANTS = {
    "plain": dict(),
    "bidirectional": dict(bidirectional=True),
    "stacked, other sizes": dict(encoder_units=[5], units=[6, 4]),
    "attention": dict(attention=5, bidirectional=True),
    "shared, relu": dict(share_embeddings=True, activation="relu", units=[4, 4]),
    "fast": dict(cell="fast", units=[6, 4], alpha_initializer="zeros"),
    "gru": dict(cell="gru", units=[4, 5], reset_after=False),
    "lstm, other sizes": dict(cell="lstm", encoder_units=[4], units=[6, 5], bidirectional=True, attention=5),
    "lstm": dict(cell="lstm", units=[5, 4], unit_forget_bias=False),
}


def small_model(**changes):
    keras.utils.set_random_seed(3)
    arguments = dict(source_vocab_size=9, target_vocab_size=9, units=6, embedding=4) | changes
    model = kv.EncoderDecoder(**arguments)
    # Larger weights than at the start: decoding shall not be a draw among equals.
    model.set_weights(
        [2.5 * w + 0.1 * np.sin(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()]
    )
    return model


def small_data(rows=7):
    rng = np.random.default_rng(5)
    source, target = rng.integers(3, 9, (rows, 6)), rng.integers(3, 9, (rows, 5))
    source[np.arange(6) >= rng.integers(1, 7, (rows, 1))] = 0
    target[np.arange(5) >= rng.integers(1, 6, (rows, 1))] = 0
    return source.astype("int32"), target.astype("int32")


@pytest.fixture(params=VARIANTS)
def model(request):
    return small_model(**VARIANTS[request.param])


def test_steps_one_by_one_equal_the_training_graph(model):
    source, target = small_data()
    target_in, target_out = model.teacher_forcing(target)
    logits = np.asarray(model((source, target_in)))
    states, attended = model.encode(source)
    for t in range(target_in.shape[1]):
        step, states = model.advance(target_in[:, t], states, attended)
        real = target_out[:, t] != 0
        np.testing.assert_allclose(np.asarray(step)[real], logits[real, t], atol=ROUNDING)


def test_padding_of_the_source_changes_nothing(model):
    source, target = small_data()
    target_in, _ = model.teacher_forcing(target)
    padded = np.pad(source, ((0, 0), (0, 4)))
    np.testing.assert_allclose(model((padded, target_in)), model((source, target_in)), atol=ROUNDING)
    short = source[:, : (source != 0).sum(axis=1)[0]][:1]  # the first one alone, without any padding
    np.testing.assert_allclose(
        np.asarray(model((short, target_in[:1]))), np.asarray(model((source, target_in)))[:1], atol=ROUNDING
    )


def test_the_source_matters(model):
    source, target = small_data()
    target_in, _ = model.teacher_forcing(target)
    changed = source.copy()
    changed[:, 0] = 3 + (changed[:, 0] - 2) % 6  # another token
    assert np.abs(np.asarray(model((changed, target_in)) - model((source, target_in))))[:, 0].max() > 0.01


@pytest.mark.parametrize("width", [1, 3])
def test_log_probabilities_are_those_of_training(model, width):
    source, _ = small_data()
    found = model.decode(source, beam_width=width, max_length=8)
    assert found.tokens.shape == (len(source), width, 8)
    for n in range(width):
        target_in = np.pad(found.tokens[:, n, :-1], ((0, 0), (1, 0)), constant_values=model.start)
        log_p = log_softmax(model((source, target_in)))
        chosen = np.take_along_axis(log_p, found.tokens[:, n, :, None], axis=-1)[..., 0]
        expected = np.where(found.tokens[:, n] == 0, 0.0, chosen).sum(axis=1)
        np.testing.assert_allclose(found.log_probabilities[:, n], expected, atol=10 * ROUNDING)


def test_decoding_is_well_formed_and_a_wider_beam_is_not_worse(model):
    source, _ = small_data(40)
    greedy = model.decode(source, max_length=9, length_penalty=0.5)
    for width in (2, 4):
        found = model.decode(source, beam_width=width, max_length=9, length_penalty=0.5)
        assert (found.scores[:, 0] >= greedy.scores[:, 0] - ROUNDING).all()
        assert (np.diff(found.scores, axis=1) <= 0).all()
        for row, length in zip(found.tokens.reshape(-1, 9), found.lengths.ravel(), strict=True):
            assert not {0, model.start, model.end} & set(row[: length - 1].tolist())
            assert (row[length:] == 0).all()
            assert row[length - 1] == model.end or length == 9


def test_batches_do_not_matter(model):
    source, _ = small_data(10)
    whole, parts = model.decode(source, beam_width=2), model.decode(source, beam_width=2, batch_size=3)
    np.testing.assert_array_equal(whole.tokens, parts.tokens)
    assert whole.tokens.shape[-1] == 2 * 6 + 10
    alone = model.decode(source[4:5], beam_width=2)
    np.testing.assert_array_equal(whole.tokens[4:5], alone.tokens)


def test_teacher_forcing():
    target_in, target_out = small_model().teacher_forcing([[5, 6, 7], [8, 0, 0]])
    assert target_in.tolist() == [[1, 5, 6, 7], [1, 8, 0, 0]]
    assert target_out.tolist() == [[5, 6, 7, 2], [8, 2, 0, 0]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_accuracies_over_real_tokens(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 5, 6)).astype("float32")
    y = rng.integers(1, 6, (4, 5))
    y[np.arange(5) >= np.array([[5], [2], [1], [3]])] = 0
    y[1, :2] = logits[1, :2].argmax(axis=-1)  # one sequence right
    log_p, real = log_softmax(logits), y != 0
    right = np.take_along_axis(log_p, y[..., None], axis=-1)[..., 0]
    expected = -((1 - smoothing) * right + smoothing * log_p.mean(axis=-1))[real].mean()
    assert float(TokenCrossentropy(smoothing)(y, logits)) == pytest.approx(expected, rel=1e-5)
    hits = logits.argmax(axis=-1) == y
    for metric, value in (
        (TokenAccuracy(), hits[real].mean()),
        (SequenceAccuracy(), (hits | ~real).all(axis=1).mean()),
    ):
        # In two updates: an average of averages would be another number.
        metric.update_state(y[:1], logits[:1])
        metric.update_state(y[1:], logits[1:])
        assert float(metric.result()) == pytest.approx(value, rel=1e-6)


def test_more_padding_of_the_target_changes_no_figure(model):
    source, target = small_data()
    model.compile()
    figures = []
    for width in (0, 3):
        target_in, target_out = model.teacher_forcing(np.pad(target, ((0, 0), (0, width))))
        figures.append(model.evaluate((source, target_in), target_out, verbose=0, return_dict=True))
    assert set(figures[0]) == {"loss", "token_accuracy", "sequence_accuracy"}
    assert figures[1] == pytest.approx(figures[0], abs=ROUNDING)


def test_sequence_accuracy_is_that_of_greedy_decoding(model):
    source, _ = small_data(24)
    # Decoding never takes padding or start; a trained model does not prefer them either.
    bias = model.get_layer("logits").bias
    bias.assign(np.where(np.isin(np.arange(9), (0, model.start)), -50.0, bias))
    ids = model.decode(source, max_length=7).best
    rows = np.flatnonzero((ids == model.end).any(axis=1) & (ids[:, 0] != model.end))
    assert len(rows) >= 3  # the models are drawn so that enough of them end
    target = np.where(ids == model.end, 0, ids)[rows]
    target[0, 0] = 3 + (target[0, 0] - 2) % 6  # one sequence with another first token
    target_in, target_out = model.teacher_forcing(target)
    model.compile()
    figures = model.evaluate((source[rows], target_in), target_out, verbose=0, return_dict=True)
    assert figures["sequence_accuracy"] == pytest.approx(1 - 1 / len(rows))


def test_saved_and_loaded_it_goes_on_as_before(model, tmp_path):
    source, target = small_data(16)
    target_in, target_out = model.teacher_forcing(target)
    model.compile(keras.optimizers.Adam(0.01), TokenCrossentropy(0.1), global_clipnorm=1.0)
    model.fit((source, target_in), target_out, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is kv.EncoderDecoder
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded((source, target_in)), model((source, target_in)))
    np.testing.assert_array_equal(loaded.decode(source, 2).tokens, model.decode(source, 2).tokens)
    # The optimizer's state came along: the next update is the same.
    for each in (model, loaded):
        each.fit((source, target_in), target_out, shuffle=False, verbose=0)
    np.testing.assert_allclose(
        loaded((source, target_in)), model((source, target_in)), atol=ROUNDING, rtol=ROUNDING
    )


def test_every_argument_is_in_the_config():
    changed = dict(
        source_vocab_size=9,
        target_vocab_size=9,
        units=[5, 4],
        cell="gru",
        encoder_units=[3],
        bidirectional=True,
        embedding=7,
        share_embeddings=True,
        attention=2,
        dropout=0.1,
        scheduled_sampling=0.2,
        start=3,
        end=4,
        source_length=6,
        target_length=7,
        name="other",
        trainable=False,
    )
    arguments = set(inspect.signature(kv.EncoderDecoder.__init__).parameters) - {"self", "options"}
    assert set(changed) == arguments
    config = kv.EncoderDecoder(**changed, activation="relu").get_config()
    assert config == {**changed, "activation": "relu"}
    clone = kv.EncoderDecoder.from_config(config)
    assert clone.get_config() == config
    assert clone.count_params() == kv.EncoderDecoder(**changed, activation="relu").count_params()


@pytest.mark.slow
@pytest.mark.parametrize("attention", [None, 32])
def test_reverses_ten_digits(attention):
    digits, rng = kv.Symbols(tuple("0123456789")), np.random.default_rng(5)
    numbers = ["".join(rng.choice(list("0123456789"), rng.integers(1, 11))) for _ in range(20_000)]
    held_out = [number for number in numbers[:1000] if number not in set(numbers[1000:])]
    source, target = digits.encode(numbers[1000:], 10), digits.encode([n[::-1] for n in numbers[1000:]], 10)
    keras.utils.set_random_seed(1)
    model = kv.EncoderDecoder(len(digits), len(digits), units=128, attention=attention)
    target_in, target_out = model.teacher_forcing(target)
    model.compile(keras.optimizers.Adam(0.001), global_clipnorm=1.0)
    model.fit((source, target_in), target_out, batch_size=128, epochs=4, verbose=0)
    found = [digits.decode(row) for row in model.decode(digits.encode(held_out, 10)).best]
    assert np.mean([said == tuple(n[::-1]) for said, n in zip(found, held_out, strict=True)]) >= 0.95


def test_scheduled_sampling_replaces_inner_tokens_only():
    source, target = small_data(200)
    target_in, _ = small_model().teacher_forcing(target)
    for share in (0.0, 0.5, 1.0):
        model = small_model(scheduled_sampling=share)
        mixed = np.asarray(
            model._with_own_predictions(*map(keras.ops.convert_to_tensor, (source, target_in)))
        )
        predicted = np.asarray(model((source, target_in))).argmax(axis=-1)
        own = mixed != target_in
        assert not own[:, 0].any()
        np.testing.assert_array_equal((mixed == 0), (target_in == 0))
        np.testing.assert_array_equal(mixed[:, 1:][own[:, 1:]], predicted[:, :-1][own[:, 1:]])
        could = (predicted[:, :-1] != target_in[:, 1:]) & (target_in[:, 1:] != 0)
        could &= (predicted[:, :-1] != 0) & (predicted[:, :-1] != model.end)
        # Three standard deviations of a share of some hundred draws.
        assert own[:, 1:].sum() / could.sum() == pytest.approx(share, abs=3 * 0.5 / could.sum() ** 0.5)


def test_trains_with_scheduled_sampling_and_dropout():
    source, target = small_data(64)
    model = kv.EncoderDecoder(9, 9, [8, 8], scheduled_sampling=0.3, dropout=0.1, attention=4)
    target_in, target_out = model.teacher_forcing(target)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit((source, target_in), target_out, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["skipped_steps"][-1] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(units=0), "`units` must be a positive integer. Received: units=0"),
        (dict(units=[]), "`units` must be a positive integer, or a list with one per layer"),
        (dict(start=0), r"`start` must be a token id in 1 … 8 .*Received: start=0"),
        (dict(end=9), r"`end` must be a token id in 1 … 8"),
        (dict(end=None), r"`end` must be a token id"),
        (dict(start=2), r"`end` must differ from `start`. Received: end=2"),
        (
            dict(share_embeddings=True, target_vocab_size=8),
            "`share_embeddings` must be False for two vocabularies",
        ),
        (dict(dropout=1.5), r"`dropout` must be a number in \[0, 1\]"),
        (dict(scheduled_sampling=-1), r"`scheduled_sampling` must be a number in \[0, 1\]"),
        (dict(source_length=0), "`source_length` must be a positive integer"),
        (dict(attention=-3), "`attention` must be a positive integer"),
        (dict(return_sequences=True), "return_sequences"),
    ],
)
def test_wrong_constructor_arguments(changes, message):
    arguments = dict(source_vocab_size=9, target_vocab_size=9, units=4) | changes
    with pytest.raises((ValueError, TypeError), match=message):
        kv.EncoderDecoder(**arguments)


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ([[3, 4], [0, 0]], {}, "`source` must start each row with a token. Received: row 1, which is empty"),
        ([[0, 4]], {}, "`source` must start each row .* row 0, which starts with padding"),
        ([[3, 0, 4]], {}, "`source` must be padded at the end only. Received: row 0"),
        ([], {}, r"`source` must hold token ids of shape \(samples, steps\)"),
        ([[3, 9]], {}, "`source` must hold token ids in 0 … 8. Received: 9 in row 0, step 1"),
        ([[3]], dict(beam_width=0), "`beam_width` must be a positive integer. Received: beam_width=0"),
        ([[3]], dict(max_length=0), "`max_length` must be a positive integer"),
        ([[3]], dict(batch_size=0.5), "`batch_size` must be a positive integer"),
        ([[3]], dict(length_penalty=float("nan")), "`length_penalty` must be a finite number ≥ 0"),
        ([[3]], dict(length_penalty=-1), "`length_penalty` must be a finite number ≥ 0"),
    ],
)
def test_wrong_decode_arguments(source, arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model().decode(source, **arguments)


SOURCE, IN, OUT = [[3, 4]], [[1, 5, 6]], [[5, 6, 2]]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.array(SOURCE), OUT, r"`x` must be the pair \(source, target_in\)"),
        (
            ([[0, 0]], IN),
            OUT,
            r"`x\[0\] \(source\)` must start each row with a token. Received: row 0, which is empty",
        ),
        (([[3, 9]], IN), OUT, r"`x\[0\] \(source\)` must hold token ids in 0 … 8"),
        ((SOURCE, [[1, 5, 10]]), OUT, r"`x\[1\] \(target_in\)` must hold token ids in 0 … 8"),
        (
            (SOURCE, [[5, 6, 2]]),
            OUT,
            r"target_in\)` must start each row with the start token 1.*row 0, which starts with 5.*teacher_forcing",
        ),
        (
            (SOURCE, IN),
            [[5, 6, 7]],
            r"target_out\)` must hold the end token 2 in each row.*row 0.*teacher_forcing",
        ),
        ((SOURCE, IN), [[5, 6, 3, 2]], r"Received: shapes \(1, 2\), \(1, 3\), \(1, 4\)"),
        ((SOURCE * 2, IN), OUT, r"the same number of rows.*Received: shapes \(2, 2\)"),
    ],
)
def test_wrong_training_data(x, y, message):
    model = small_model()
    model.compile()
    as_arrays = tuple(np.array(part) for part in x) if isinstance(x, tuple) else x
    with pytest.raises(ValueError, match=message):
        model.fit(as_arrays, np.array(y))
    with pytest.raises(
        ValueError, match=message.replace(r"`x\[", r"`validation_data\[0\]\[").replace("`x`", ".")
    ):
        model.fit((np.array(SOURCE), np.array(IN)), np.array(OUT), validation_data=(as_arrays, np.array(y)))

"""Sequence to sequence: an encoder reads the source, a decoder writes the target, token by token."""

import keras
import numpy as np
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn.layers import StackedVanillaRNN
from keras_vrnn.models import token_checks
from keras_vrnn.models.attention import AdditiveAttention
from keras_vrnn.models.losses import SequenceAccuracy, TokenAccuracy, TokenCrossentropy
from keras_vrnn.symbols import PADDING
from keras_vrnn.training.model import Functional


@keras.saving.register_keras_serializable(package="keras_vrnn")
class EncoderDecoder(Functional):
    """p(y|x) = Π_t p(y_t | y_1 … y_{t-1}, x)

    Encoder-decoder of vanilla RNNs (Cho et al. 2014; Sutskever, Vinyals & Le 2014): the encoder's final states
    start the decoder, which reads the token before and predicts the next. Where the sizes differ, or the encoder has
    two directions, a *bridge* maps all final states to the decoder's: s_0 = tanh(W·[h; …] + b). With
    `attention` the decoder also looks at all outputs of the encoder (Bahdanau, Cho & Bengio 2015).

    Token 0 is padding, at the end of a sequence. Training is teacher-forced: `fit((source, target_in), target_out)`
    with `target_in, target_out = model.teacher_forcing(target)`. `compile` has the loss and the metrics set.

    Args:
        source_vocab_size, target_vocab_size: Number of token ids on each side, 0 and the other special ones
            included.
        units: Units of the decoder: an integer, or a list, one a layer.
        encoder_units: Units of the encoder, in each direction; `units` by default.
        bidirectional: Whether the encoder runs in both directions.
        embedding: Size of the embeddings.
        share_embeddings: Whether both sides use one table, and so one vocabulary.
        attention: Units of the additive attention; None or 0 for none.
        dropout: Fraction dropped of embeddings, between layers and before the last product, in [0, 1).
        scheduled_sampling: Share of the decoder's input tokens that is replaced by the model's own predictions, in
            [0, 1]. Those of a first, teacher-forced pass (Duckworth et al. 2019, "Parallel Scheduled Sampling").
        start, end: Ids of the tokens that begin and end a target.
        source_length, target_length: Fixed numbers of steps, the latter with the end token. `fit` can then use XLA
            by itself; otherwise `compile(jit_compile=True)` compiles each pair of lengths that it meets.
        **options: Of every recurrent layer, such as `activation` or `recurrent_initializer`; and `name`.

    Call arguments:
        (source, target_in): Token ids, shapes (batch, source steps) and (batch, target steps).

    Returns:
        Logits of the next token, shape (batch, target steps, target vocabulary).

    Raises:
        ValueError: An argument out of its range.

    Example:
    >>> model = EncoderDecoder(13, 13, units=8)
    >>> model.decode([[3, 4, 5], [7, 3, 0]], max_length=4).best.shape
    (2, 4)
    """

    def __init__(
        self,
        source_vocab_size,
        target_vocab_size,
        units,
        *,
        encoder_units=None,
        bidirectional=False,
        embedding=64,
        share_embeddings=False,
        attention=None,
        dropout=0.0,
        scheduled_sampling=0.0,
        start=1,
        end=2,
        source_length=None,
        target_length=None,
        name="encoder_decoder",
        trainable=True,
        **options,
    ):
        config = dict(
            source_vocab_size=checks.positive_int("source_vocab_size", source_vocab_size),
            target_vocab_size=checks.positive_int("target_vocab_size", target_vocab_size),
            units=_layers("units", units),
            encoder_units=_layers("encoder_units", units if encoder_units is None else encoder_units),
            bidirectional=checks.flag("bidirectional", bidirectional),
            embedding=checks.positive_int("embedding", embedding),
            share_embeddings=checks.flag("share_embeddings", share_embeddings),
            attention=checks.positive_int("attention", attention) if attention else None,
            dropout=checks.rate("dropout", dropout),
            scheduled_sampling=checks.rate("scheduled_sampling", scheduled_sampling),
            start=start,
            end=end,
            source_length=source_length,
            target_length=target_length,
        )
        token_checks.special_tokens(start, end, config["target_vocab_size"])
        if share_embeddings and source_vocab_size != target_vocab_size:
            raise ValueError(
                "`share_embeddings=True` needs one vocabulary. Received: "
                f"source_vocab_size={source_vocab_size}, target_vocab_size={target_vocab_size}"
            )
        for length in ("source_length", "target_length"):
            if config[length] is not None:
                checks.positive_int(length, config[length])
        inputs, outputs = _graph(config, options)
        super().__init__(inputs=inputs, outputs=outputs, name=name, trainable=trainable)
        self._config = {**config, "options": options}
        self.sampling_seed = keras.random.SeedGenerator()

    def compile(self, optimizer="adam", loss=None, loss_weights=None, metrics=None, *args, **kwargs):
        """As `kv.Model.compile`; by default with loss and accuracy over the real tokens, and over whole sequences."""
        super().compile(
            optimizer,
            TokenCrossentropy() if loss is None else loss,
            loss_weights,
            [TokenAccuracy(), SequenceAccuracy()] if metrics is None else metrics,
            *args,
            **kwargs,
        )

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `kv.Model.fit`, with x = (source, target_in) and y = target_out; arrays are checked first.

        Raises:
            ValueError: An empty source, tokens out of range, start or end tokens missing, or sizes that do not fit.
        """
        token_checks.pairs(self._config, x, y, "x", "y")
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple) and len(validation) > 1:
            x_val, y_val, *_ = validation
            token_checks.pairs(self._config, x_val, y_val, "validation_data[0]", "validation_data[1]")
        return super().fit(x, y, *args, **kwargs)

    def train_step(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._config["scheduled_sampling"]:
            source, target_in = x
            x = (source, self._with_own_predictions(source, target_in))
        return super().train_step((x, y, sample_weight))

    def _with_own_predictions(self, source, target_in):
        predicted = ops.cast(ops.argmax(self((source, target_in), training=True), axis=-1), target_in.dtype)
        # What was predicted at step t−1 is read at step t; the start token stays, and so does padding.
        predicted = ops.concatenate([target_in[:, :1], predicted[:, :-1]], axis=1)
        drawn = keras.random.uniform(ops.shape(target_in), seed=self.sampling_seed)
        own = ops.logical_and(drawn < self._config["scheduled_sampling"], ops.not_equal(target_in, PADDING))
        usable = ops.logical_and(ops.not_equal(predicted, PADDING), ops.not_equal(predicted, self.end))
        return ops.where(ops.logical_and(own, usable), predicted, target_in)

    def teacher_forcing(self, target):
        """What the decoder reads and what it shall predict: (start, y_1 … y_n) and (y_1 … y_n, end).

        Args:
            target: Token ids without start and end, padded at the end with 0, shape (samples, steps).

        Returns:
            target_in and target_out, int32, shape (samples, steps + 1).
        """
        target = token_checks.tokens("target", target, self._config["target_vocab_size"])
        target_in = np.pad(target, ((0, 0), (1, 0)), constant_values=self.start)
        target_out = np.pad(target, ((0, 0), (0, 1)))
        target_out[np.arange(len(target)), (target != PADDING).sum(axis=1)] = self.end
        return target_in, target_out

    def decode(self, source, beam_width=1, max_length=None, length_penalty=0.0, batch_size=512):
        """The most likely targets of each source, by greedy or beam search.

        Args:
            source: Token ids, padded at the end with 0, shape (batch, source steps).
            beam_width: Hypotheses kept; 1 is greedy search. The greedy hypothesis is a candidate of every beam, so
                that the best one never gets worse.
            max_length: Most tokens of a hypothesis, the end token included; by default `target_length`, or twice
                the source steps and 10.
            length_penalty: α of score = log p / ((5 + length) / 6)^α (Wu et al. 2016, equation 14).
            batch_size: Sources at a time.

        Returns:
            `Hypotheses`, `beam_width` of them for each source.

        Raises:
            ValueError: An empty source, tokens out of range, or an argument that is not positive.
        """
        from keras_vrnn.models import decoding as search  # needs TensorFlow

        return search.decode(self, source, beam_width, max_length, length_penalty, batch_size)

    @property
    def start(self):
        return self._config["start"]

    @property
    def end(self):
        return self._config["end"]

    def encode(self, source):
        """What the decoder needs to know of a source, as backend tensors.

        Args:
            source: Token ids, shape (batch, source steps).

        Returns:
            The decoder's initial states, a list of (batch, units); and with attention the memory, its keys and
            its mask, else ().
        """
        embedded = self.get_layer("source_embedding")(source)
        mask = ops.not_equal(source, PADDING)
        encoded = self.get_layer("encoder")(embedded, mask=mask)
        memory, states = encoded[0], list(encoded[1:])
        if self._config["units"] != _state_sizes(self._config):
            joined = ops.concatenate(states, axis=-1) if len(states) > 1 else states[0]
            states = [self.get_layer(f"bridge_{k}")(joined) for k in range(len(self._config["units"]))]
        if not self._config["attention"]:
            return states, ()
        return states, (memory, self.get_layer("attention").keys(memory), mask)

    def advance(self, tokens, states, attended=()):
        """One step of the decoder.

        Args:
            tokens: The tokens before, shape (batch,).
            states: List of (batch, units).
            attended: The memory, its keys and its mask, as `encode` returned them.

        Returns:
            Logits of the next tokens, shape (batch, target vocabulary), and the new states.
        """
        table = "source_embedding" if self._config["share_embeddings"] else "target_embedding"
        embedded = self.get_layer(table)(ops.expand_dims(tokens, 1))
        h, *states = self.get_layer("decoder")(embedded, initial_state=states)
        if attended:
            memory, keys, mask = attended
            context = self.get_layer("attention")(h, memory, keys=keys, source_mask=mask)
            h = self.get_layer("combination")(ops.concatenate([h, context], axis=-1))
        return self.get_layer("logits")(h)[:, 0], states

    def get_config(self):
        config = dict(self._config)
        options = dict(config.pop("options"))
        lists = {name: list(config[name]) for name in ("units", "encoder_units")}
        return {**config, **lists, **options, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


def _graph(config, options):
    """The training graph: all steps of the decoder at once."""
    layers, drop = keras.layers, config["dropout"]
    source = keras.Input((config["source_length"],), dtype="int32", name="source")
    target_in = keras.Input((config["target_length"],), dtype="int32", name="target_in")

    def table(side):
        size = config[f"{side}_vocab_size"]
        return layers.Embedding(size, config["embedding"], mask_zero=True, name=f"{side}_embedding")

    def stack(name, units, **kwargs):
        return StackedVanillaRNN(units, dropout=drop, return_state=True, name=name, **kwargs, **options)

    source_table = table("source")
    target_table = source_table if config["share_embeddings"] else table("target")
    embedded = layers.Dropout(drop, name="source_dropout")(source_table(source))
    encoder = stack(
        "encoder",
        config["encoder_units"],
        bidirectional=config["bidirectional"],
        return_sequences=bool(config["attention"]),
    )
    memory, *states = encoder(embedded)
    if config["units"] != _state_sizes(config):
        joined = layers.Concatenate(name="final_states")(states) if len(states) > 1 else states[0]
        states = [
            layers.Dense(size, activation="tanh", name=f"bridge_{k}")(joined)
            for k, size in enumerate(config["units"])
        ]
    embedded = layers.Dropout(drop, name="target_dropout")(target_table(target_in))
    h, *_ = stack("decoder", config["units"], return_sequences=True)(embedded, initial_state=states)
    if config["attention"]:
        context = AdditiveAttention(config["attention"], name="attention")(
            h, memory, source_mask=ops.not_equal(source, PADDING)
        )
        h = layers.Concatenate(name="state_and_context")([h, context])
        h = layers.Dense(config["units"][-1], activation="tanh", name="combination")(h)
    h = layers.Dropout(drop, name="output_dropout")(h)
    return (source, target_in), layers.Dense(config["target_vocab_size"], name="logits")(h)


def _layers(name, units):
    sizes = list(units) if isinstance(units, (list, tuple)) else [units]
    if not sizes:
        raise ValueError(f"`{name}` must be a positive integer or a list of them, one a layer. Received: []")
    return [checks.positive_int(name, size) for size in sizes]


def _state_sizes(config):
    directions = 2 if config["bidirectional"] else 1
    return [size for size in config["encoder_units"] for _ in range(directions)]

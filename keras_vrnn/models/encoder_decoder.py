"""Sequence to sequence: an encoder reads the source, a decoder writes the target token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vrnn import _checks as checks
from keras_vrnn._types import CellOptions, Tensor
from keras_vrnn.hypotheses import Hypotheses
from keras_vrnn.layers import part_constraints
from keras_vrnn.models import token_checks
from keras_vrnn.models.attention import AdditiveAttention
from keras_vrnn.models.cells import STACKS, CellName
from keras_vrnn.models.losses import SequenceAccuracy, TokenAccuracy, TokenCrossentropy
from keras_vrnn.symbols import PADDING
from keras_vrnn.training.model import Functional

if TYPE_CHECKING:
    from typing_extensions import Unpack


@keras.saving.register_keras_serializable(package="keras_vrnn")
class EncoderDecoder(Functional):
    """An encoder-decoder of recurrent layers, from one sequence of tokens to another.

        p(y|x) = Π_t p(y_t | y_1 … y_{t-1}, x)

    The encoder's final states start the decoder, which reads the previous token and predicts the next (Cho et al.
    2014; Sutskever, Vinyals & Le 2014). If the sizes differ, or the encoder has two directions, a *bridge* maps all
    final states to each initial state of the decoder: s_0 = tanh(W·[h; …] + b). With `attention` the decoder also
    reads all outputs of the encoder (Bahdanau, Cho & Bengio 2015).

    Token 0 is padding, at the end of a sequence. Training is teacher-forced: `fit((source, target_in), target_out)`
    with `target_in, target_out = model.teacher_forcing(target)`. `compile` sets the loss and the metrics.

    Args:
        source_vocab_size, target_vocab_size: Number of token ids on each side, including 0 and the other special
            tokens.
        units: Units of the decoder: an integer, or a list with one integer per layer.
        cell: The recurrence of both sides: "vanilla" (`VanillaRNN`), "fast" (`FastRNN`), "gru" or "lstm" (Keras'
            layers).
        encoder_units: Units of the encoder, in each direction; `units` by default.
        bidirectional: Whether the encoder runs in both directions.
        embedding: Size of the embeddings.
        share_embeddings: Whether both sides share one table, and so one vocabulary.
        attention: Units of the additive attention; None or 0 for none.
        dropout: Fraction to drop in training of embeddings, between layers and before the logits, in [0, 1).
        scheduled_sampling: Share of the decoder's input tokens to replace by the model's own predictions, in [0, 1].
            They come from a first, teacher-forced pass (Duckworth et al. 2019, "Parallel Scheduled Sampling").
        start, end: Ids of the tokens that begin and end a target.
        source_length, target_length: Fixed numbers of steps; `target_length` includes the end token. With both, `fit`
            chooses XLA by itself; otherwise `compile(jit_compile=True)` compiles each pair of lengths in the data.
        **options: More arguments of every recurrent layer, such as `activation`.

    Call arguments:
        (source, target_in): Token ids, shapes (batch, source steps) and (batch, target steps).

    Returns:
        Logits of the next token, shape (batch, target steps, target vocabulary).

    Raises:
        ValueError: An argument is out of range.

    Examples:
        >>> model = EncoderDecoder(13, 13, units=8)
        >>> model.decode([[3, 4, 5], [7, 3, 0]], max_length=4).best.shape
        (2, 4)
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        units: int | Sequence[int],
        *,
        cell: CellName = "vanilla",
        encoder_units: int | Sequence[int] | None = None,
        bidirectional: bool = False,
        embedding: int = 64,
        share_embeddings: bool = False,
        attention: int | None = None,
        dropout: float = 0.0,
        scheduled_sampling: float = 0.0,
        start: int = 1,
        end: int = 2,
        source_length: int | None = None,
        target_length: int | None = None,
        name: str = "encoder_decoder",
        trainable: bool = True,
        **options: Unpack[CellOptions],
    ) -> None:
        config: dict[str, Any] = dict(
            source_vocab_size=checks.positive_int("source_vocab_size", source_vocab_size),
            target_vocab_size=checks.positive_int("target_vocab_size", target_vocab_size),
            units=checks.positive_ints("units", units),
            cell=checks.one_of("cell", cell, STACKS),
            encoder_units=checks.positive_ints(
                "encoder_units", units if encoder_units is None else encoder_units
            ),
            bidirectional=checks.flag("bidirectional", bidirectional),
            embedding=checks.positive_int("embedding", embedding),
            share_embeddings=checks.flag("share_embeddings", share_embeddings),
            attention=checks.positive_int("attention", attention) if attention else None,
            dropout=checks.fraction("dropout", dropout, "the fraction to drop"),
            scheduled_sampling=checks.fraction(
                "scheduled_sampling", scheduled_sampling, "the share of tokens to replace"
            ),
            start=start,
            end=end,
            source_length=source_length,
            target_length=target_length,
        )
        token_checks.special_tokens(start, end, config["target_vocab_size"])
        if share_embeddings and source_vocab_size != target_vocab_size:
            received = f"source_vocab_size={source_vocab_size}, target_vocab_size={target_vocab_size}"
            must = "be False for two vocabularies of different sizes"
            raise ValueError(checks.message("share_embeddings", must, received))
        for length in ("source_length", "target_length"):
            if config[length] is not None:
                checks.positive_int(length, config[length])
        inputs, outputs = _graph(config, options)
        super().__init__(inputs=inputs, outputs=outputs, name=name, trainable=trainable)
        self._config: dict[str, Any] = {**config, "options": options}
        self.sampling_seed = keras.random.SeedGenerator()

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """As `kv.Model.compile`; by default with loss and accuracy over real tokens and accuracy over sequences."""
        super().compile(
            optimizer,
            TokenCrossentropy() if loss is None else loss,
            loss_weights,
            [TokenAccuracy(), SequenceAccuracy()] if metrics is None else metrics,
            *args,
            **kwargs,
        )

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `kv.Model.fit`, with x = (source, target_in) and y = target_out; arrays are checked first.

        Raises:
            ValueError: A source is empty, a token is out of range, a start or end token is missing, or shapes differ.
        """
        token_checks.pairs(self._config, x, y, "x", "y")
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple) and len(validation) > 1:
            x_val, y_val, *_ = validation
            token_checks.pairs(self._config, x_val, y_val, "validation_data[0]", "validation_data[1]")
        return super().fit(x, y, *args, **kwargs)

    def train_step(self, data: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._config["scheduled_sampling"]:
            source, target_in = x
            x = (source, self._with_own_predictions(source, target_in))
        return super().train_step((x, y, sample_weight))

    def _with_own_predictions(self, source: Tensor, target_in: Tensor) -> Any:
        predicted = ops.cast(ops.argmax(self((source, target_in), training=True), axis=-1), target_in.dtype)
        # Step t reads the prediction of step t−1; the start token and padding stay.
        predicted = ops.concatenate([target_in[:, :1], predicted[:, :-1]], axis=1)
        drawn = keras.random.uniform(ops.shape(target_in), seed=self.sampling_seed)
        own = ops.logical_and(drawn < self._config["scheduled_sampling"], ops.not_equal(target_in, PADDING))
        usable = ops.logical_and(ops.not_equal(predicted, PADDING), ops.not_equal(predicted, self.end))
        return ops.where(ops.logical_and(own, usable), predicted, target_in)

    def teacher_forcing(self, target: Any) -> tuple[np.ndarray, np.ndarray]:
        """The decoder's inputs and the tokens to predict: (start, y_1 … y_n) and (y_1 … y_n, end).

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

    def decode(
        self,
        source: Any,
        beam_width: int = 1,
        max_length: int | None = None,
        length_penalty: float = 0.0,
        batch_size: int = 512,
    ) -> Hypotheses:
        """Finds the most likely targets of each source, by greedy or beam search.

        Args:
            source: Token ids, padded at the end with 0, shape (batch, source steps).
            beam_width: Number of hypotheses; 1 is greedy search. The greedy hypothesis is a candidate of every beam, so
                the best score never falls below it.
            max_length: Largest number of tokens per hypothesis, including the end token; by default `target_length`, or
                twice the source steps plus 10.
            length_penalty: α of score = log p / ((5 + length) / 6)^α (Wu et al. 2016, equation 14).
            batch_size: Number of sources per batch.

        Returns:
            `Hypotheses`, `beam_width` per source.

        Raises:
            ValueError: A source is empty, a token is out of range, or an argument is not positive.
        """
        from keras_vrnn.models import decoding  # needs TensorFlow

        return decoding.decode(self, source, beam_width, max_length, length_penalty, batch_size)

    @property
    def start(self) -> int:
        return self._config["start"]

    @property
    def end(self) -> int:
        return self._config["end"]

    @property
    def state_sizes(self) -> list[int]:
        """The sizes of the decoder's states, layer by layer."""
        return _state_sizes(self._config)

    def encode(self, source: Tensor) -> tuple[list, tuple]:
        """Runs the encoder: all that the decoder reads of a source, as backend tensors.

        Args:
            source: Token ids, shape (batch, source steps).

        Returns:
            The decoder's initial states, a flat list of (batch, units), layer by layer; and with attention the memory,
            its keys and its mask, else ().
        """
        embedded = self.get_layer("source_embedding")(source)
        mask = ops.not_equal(source, PADDING)
        memory, *states = self.get_layer("encoder")(embedded, mask=mask)
        sizes = self.state_sizes
        if sizes != self.get_layer("encoder").state_sizes:
            joined = ops.concatenate(states, axis=-1) if len(states) > 1 else states[0]
            states = [self.get_layer(f"bridge_{k}")(joined) for k in range(len(sizes))]
        if not self._config["attention"]:
            return states, ()
        return states, (memory, self.get_layer("attention").keys(memory), mask)

    def advance(self, tokens: Tensor, states: list, attended: tuple = ()) -> tuple[Any, list]:
        """Takes one step of the decoder.

        Args:
            tokens: The previous tokens, shape (batch,).
            states: As returned by `encode` or by the last step.
            attended: The memory, its keys and its mask, as returned by `encode`.

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

    def get_config(self) -> dict[str, Any]:
        config = dict(self._config)
        options = dict(config.pop("options"))
        lists = {name: list(config[name]) for name in ("units", "encoder_units")}
        return {
            **config,
            **lists,
            **options,
            "name": self.name,
            "trainable": self.trainable,
            **part_constraints.to_config(self),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> EncoderDecoder:
        return part_constraints.from_config(cls, config)


def _graph(config: dict[str, Any], options: Any) -> tuple[Any, Any]:
    """The training graph, with all steps of the decoder at once."""
    layers, drop = keras.layers, config["dropout"]
    source = keras.Input((config["source_length"],), dtype="int32", name="source")
    target_in = keras.Input((config["target_length"],), dtype="int32", name="target_in")

    def table(side: str) -> Any:
        size = config[f"{side}_vocab_size"]
        return layers.Embedding(size, config["embedding"], mask_zero=True, name=f"{side}_embedding")

    def stack(name: str, units: list[int], **kwargs: Any) -> Any:
        return STACKS[config["cell"]](units, dropout=drop, return_state=True, name=name, **kwargs, **options)

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
    sizes = _state_sizes(config)
    if sizes != encoder.state_sizes:
        joined = layers.Concatenate(name="final_states")(states) if len(states) > 1 else states[0]
        states = [
            layers.Dense(size, activation="tanh", name=f"bridge_{k}")(joined) for k, size in enumerate(sizes)
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


def _state_sizes(config: dict[str, Any]) -> list[int]:
    """The sizes of the decoder's states."""
    count = STACKS[config["cell"]].states_per_layer
    return [size for size in config["units"] for _ in range(count)]

"""Models that map between single values and sequences.

    many_to_one     x_1 … x_T → y              the class of a sequence, the next value
    many_to_many    x_1 … x_T → y_1 … y_T      one label or value per step
    one_to_many     x         → y_1 … y_T      a sequence from a single value

Each function is short enough to copy: it combines public layers only. The layers have the same names in every model,
and so in every exported file. For sequences of another length than the source, see `EncoderDecoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import keras

from keras_vrnn import _checks as checks
from keras_vrnn._types import CellOptions
from keras_vrnn.models.cells import CellName, recurrent
from keras_vrnn.training import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack

Task = Literal["classes", "binary", "regression"]
# Activation of the last layer; the comments name the loss.
TASKS = {
    "classes": "softmax",  # sparse_categorical_crossentropy
    "binary": "sigmoid",  # binary_crossentropy
    "regression": "linear",  # mse
}


def many_to_one(
    units: int | Sequence[int],
    outputs: int = 1,
    task: Task = "classes",
    *,
    cell: CellName = "vanilla",
    features: int | None = None,
    vocab_size: int | None = None,
    timesteps: int | None = None,
    embedding: int = 32,
    mask_value: float | None = None,
    bidirectional: bool = False,
    dropout: float = 0.0,
    name: str = "many_to_one",
    **options: Unpack[CellOptions],
) -> Model:
    """A model with one output per sequence: y = head(h_T).

    Args:
        units: Units of the recurrence: an integer, or a list with one integer per layer.
        outputs: Number of classes, labels or values.
        task: "classes" (softmax; loss "sparse_categorical_crossentropy"), "binary" (independent
            sigmoids; "binary_crossentropy") or "regression" (linear; "mse").
        cell: The recurrence: "vanilla" (`VanillaRNN`), "fast" (`FastRNN`), "gru" or "lstm" (Keras' layers).
        features: Number of features per step of a real-valued sequence; the input is `features`, (batch, timesteps,
            features).
        vocab_size: Number of token ids, including padding (0); the input is `tokens`, (batch, timesteps). Padding at
            the end is skipped. Give either `features` or `vocab_size`.
        timesteps: Steps per sequence, or None for any number. Exported files and XLA need a fixed number.
        embedding: Size of a token's embedding.
        mask_value: Skip the steps of a real-valued sequence whose features all have this value.
        bidirectional: Whether each layer runs in both directions.
        dropout: Fraction of each recurrent layer's outputs to drop in training.
        name: The model's name.
        **options: More arguments of every recurrent layer, such as `activation`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, outputs).

    Raises:
        ValueError: An argument is out of range, or both or neither of `features` and `vocab_size` are given.

    Examples:
        >>> model = many_to_one([16, 8], 3, features=4, timesteps=20)
        >>> [layer.name for layer in model.layers]
        ['features', 'rnn_1', 'rnn_2', 'output']
    """
    head = _head(task, outputs)
    inputs, x = _sequence(features, vocab_size, timesteps, embedding, mask_value)
    sizes = checks.positive_ints("units", units)
    for k, size in enumerate(sizes, start=1):
        x = recurrent(
            cell, size, f"rnn_{k}", bidirectional=bidirectional, return_sequences=k < len(sizes), **options
        )(x)
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def many_to_many(
    units: int | Sequence[int],
    outputs: int = 1,
    task: Task = "classes",
    *,
    cell: CellName = "vanilla",
    features: int | None = None,
    vocab_size: int | None = None,
    timesteps: int | None = None,
    embedding: int = 32,
    mask_value: float | None = None,
    bidirectional: bool = False,
    dropout: float = 0.0,
    name: str = "many_to_many",
    **options: Unpack[CellOptions],
) -> Model:
    """A model with one output per step: y_t = head(h_t).

    Masked steps are left out of the loss and of Keras' metrics.

    Args:
        units, outputs, task, cell, features, vocab_size, timesteps: See `many_to_one`.
        embedding, mask_value, bidirectional, dropout, name, **options: See `many_to_one`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, timesteps, outputs).

    Raises:
        ValueError: As for `many_to_one`.

    Examples:
        >>> many_to_many(16, 5, vocab_size=30, bidirectional=True).output_shape
        (None, None, 5)
    """
    head = _head(task, outputs)
    inputs, x = _sequence(features, vocab_size, timesteps, embedding, mask_value)
    for k, size in enumerate(checks.positive_ints("units", units), start=1):
        x = recurrent(cell, size, f"rnn_{k}", bidirectional=bidirectional, return_sequences=True, **options)(
            x
        )
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def one_to_many(
    units: int | Sequence[int],
    outputs: int = 1,
    task: Task = "regression",
    *,
    timesteps: int,
    cell: CellName = "vanilla",
    features: int | None = None,
    vocab_size: int | None = None,
    embedding: int = 32,
    dropout: float = 0.0,
    name: str = "one_to_many",
    **options: Unpack[CellOptions],
) -> Model:
    """A model from one value to a sequence: y_t = head(h_t), where the recurrence reads x_t = x at every step.

    Args:
        units, outputs, task, cell: See `many_to_one`.
        timesteps: Steps of the output.
        features: Number of features of a real-valued input; the input is `features`, (batch, features).
        vocab_size: Number of ids of an input such as a class; the input is `tokens`, (batch, 1). Every id is a value:
            none is padding.
        embedding, dropout, name, **options: See `many_to_one`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, timesteps, outputs).

    Raises:
        ValueError: As for `many_to_one`.

    Examples:
        >>> one_to_many(16, 28, vocab_size=10, timesteps=28).output_shape
        (None, 28, 28)
    """
    head = _head(task, outputs)
    _one_of(features=features, vocab_size=vocab_size)
    if vocab_size is None:
        inputs = x = keras.Input((features,), name="features")
    else:
        inputs = keras.Input((1,), dtype="int32", name="tokens")
        x = keras.layers.Embedding(vocab_size, embedding, name="embedding")(inputs)
        x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.RepeatVector(checks.positive_int("timesteps", timesteps), name="repeat")(x)
    for k, size in enumerate(checks.positive_ints("units", units), start=1):
        x = recurrent(cell, size, f"rnn_{k}", bidirectional=False, return_sequences=True, **options)(x)
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def _sequence(
    features: Any, vocab_size: Any, timesteps: Any, embedding: int, mask_value: Any
) -> tuple[Any, Any]:
    """The input of a sequence, and the tensor (batch, timesteps, features) that the first layer reads."""
    _one_of(features=features, vocab_size=vocab_size)
    if timesteps is not None:
        checks.positive_int("timesteps", timesteps)
    if vocab_size is not None:
        if mask_value is not None:
            received = f"mask_value={mask_value!r}, vocab_size={vocab_size}"
            fix = "Token 0 is masked without it."
            raise ValueError(checks.message("mask_value", "be None for token ids", received, fix))
        inputs = keras.Input((timesteps,), dtype="int32", name="tokens")
        return inputs, keras.layers.Embedding(vocab_size, embedding, mask_zero=True, name="embedding")(inputs)
    inputs = keras.Input((timesteps, features), name="features")
    if mask_value is None:
        return inputs, inputs
    return inputs, keras.layers.Masking(checks.number("mask_value", mask_value), name="mask")(inputs)


def _dropped(k: int, dropout: float, x: Any) -> Any:
    return keras.layers.Dropout(dropout, name=f"dropout_{k}")(x) if checks.rate("dropout", dropout) else x


def _head(task: Any, outputs: Any) -> Any:
    checks.one_of("task", task, TASKS)
    if checks.positive_int("outputs", outputs) == 1 and task == "classes":
        must = "be at least 2 with task='classes', one output per class"
        raise checks.refused("outputs", must, outputs, "For a yes or no use task='binary'.")
    return keras.layers.Dense(outputs, activation=TASKS[task], name="output")


def _one_of(**sizes: Any) -> None:
    given = {name: value for name, value in sizes.items() if value is not None}
    if len(given) != 1:
        received = ", ".join(f"{name}={value!r}" for name, value in sizes.items())
        raise ValueError(
            f"Give either `features` (real-valued input) or `vocab_size` (token ids). Received: {received}."
        )
    for name, value in given.items():
        checks.positive_int(name, value)

"""The shapes of recurrent network that map between single values and sequences, each a page to copy from.

    many_to_one     x_1 … x_T → y              the class of a sequence, the next value
    many_to_many    x_1 … x_T → y_1 … y_T      a label or a value a step
    one_to_many     x         → y_1 … y_T      a sequence from a single value

Only public layers are put together; the layers' names are the same in every model, and with them those in an
exported file. From sequences to sequences of another length: `EncoderDecoder`.
"""

import keras

from keras_vrnn import _checks as checks
from keras_vrnn.layers import Bidirectional, VanillaRNN
from keras_vrnn.training import Model

# Activation of the last layer, and the loss it goes with.
TASKS = {
    "classes": "softmax",  # sparse_categorical_crossentropy
    "binary": "sigmoid",  # binary_crossentropy
    "regression": "linear",  # mse
}


def many_to_one(
    units,
    outputs=1,
    task="classes",
    *,
    features=None,
    vocab_size=None,
    timesteps=None,
    embedding=32,
    mask_value=None,
    bidirectional=False,
    dropout=0.0,
    name="many_to_one",
    **options,
):
    """One output for a whole sequence: y = head(h_T).

    Args:
        units: Units of the recurrence: an integer, or a list, one a layer.
        outputs: Classes, labels or values.
        task: "classes" (softmax; loss "sparse_categorical_crossentropy"), "binary" (sigmoid, each output for itself;
            "binary_crossentropy") or "regression" (linear; "mse").
        features: Size of a step of a real-valued sequence: input `features`, (batch, timesteps, features).
        vocab_size: Number of token ids, padding (0) included: input `tokens`, (batch, timesteps). Padding at the
            end is skipped. Give one of `features` and `vocab_size`.
        timesteps: Steps of a sequence; None for any number, which an exported file and XLA need fixed.
        embedding: Size of a token's embedding.
        mask_value: Steps of real-valued sequences of which every feature has this value are skipped.
        bidirectional: Whether each layer runs in both directions.
        dropout: Fraction of each recurrent layer's outputs that is dropped in training.
        name: The model's name.
        **options: Of every recurrent layer: arguments of `VanillaRNN` such as `activation`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, outputs).

    Raises:
        ValueError: An argument out of its range, or both or none of `features` and `vocab_size`.

    Example:
    >>> model = many_to_one([16, 8], 3, features=4, timesteps=20)
    >>> [layer.name for layer in model.layers]
    ['features', 'rnn_1', 'rnn_2', 'output']
    """
    head = _head(task, outputs)
    inputs, x = _sequence(features, vocab_size, timesteps, embedding, mask_value)
    sizes = _sizes(units)
    for k, size in enumerate(sizes, start=1):
        x = _recurrent(k, size, bidirectional, return_sequences=k < len(sizes), **options)(x)
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def many_to_many(
    units,
    outputs=1,
    task="classes",
    *,
    features=None,
    vocab_size=None,
    timesteps=None,
    embedding=32,
    mask_value=None,
    bidirectional=False,
    dropout=0.0,
    name="many_to_many",
    **options,
):
    """One output for each step of a sequence: y_t = head(h_t).

    Masked steps count for nothing in the loss and in Keras' metrics.

    Args:
        units, outputs, task, features, vocab_size, timesteps: See `many_to_one`.
        embedding, mask_value, bidirectional, dropout, name, **options: See `many_to_one`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, timesteps, outputs).

    Raises:
        ValueError: As `many_to_one`.

    Example:
    >>> many_to_many(16, 5, vocab_size=30, bidirectional=True).output_shape
    (None, None, 5)
    """
    head = _head(task, outputs)
    inputs, x = _sequence(features, vocab_size, timesteps, embedding, mask_value)
    for k, size in enumerate(_sizes(units), start=1):
        x = _recurrent(k, size, bidirectional, return_sequences=True, **options)(x)
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def one_to_many(
    units,
    outputs=1,
    task="regression",
    *,
    timesteps,
    features=None,
    vocab_size=None,
    embedding=32,
    dropout=0.0,
    name="one_to_many",
    **options,
):
    """A sequence from one value, which the recurrence reads at every step: y_t = head(h_t), x_t = x.

    Args:
        units, outputs, task: See `many_to_one`.
        timesteps: Steps of the output.
        features: Size of a real-valued input: input `features`, (batch, features).
        vocab_size: Number of ids of an input such as a class: input `tokens`, (batch, 1). No id is padding.
        embedding, dropout, name, **options: See `many_to_one`.

    Returns:
        A `kv.Model`, ready to be compiled; input `tokens` or `features`, output `output`, (batch, timesteps, outputs).

    Raises:
        ValueError: As `many_to_one`.

    Example:
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
    for k, size in enumerate(_sizes(units), start=1):
        x = _recurrent(k, size, bidirectional=False, return_sequences=True, **options)(x)
        x = _dropped(k, dropout, x)
    return Model(inputs, head(x), name=name)


def _sequence(features, vocab_size, timesteps, embedding, mask_value):
    """The input of a sequence, and the tensor (batch, timesteps, features) that the first layer reads."""
    _one_of(features=features, vocab_size=vocab_size)
    if timesteps is not None:
        checks.positive_int("timesteps", timesteps)
    if vocab_size is not None:
        if mask_value is not None:
            raise ValueError(
                f"`mask_value` is for real-valued sequences: tokens are masked where they are 0. "
                f"Received: mask_value={mask_value!r}, vocab_size={vocab_size}"
            )
        inputs = keras.Input((timesteps,), dtype="int32", name="tokens")
        return inputs, keras.layers.Embedding(vocab_size, embedding, mask_zero=True, name="embedding")(inputs)
    inputs = keras.Input((timesteps, features), name="features")
    if mask_value is None:
        return inputs, inputs
    return inputs, keras.layers.Masking(checks.number("mask_value", mask_value), name="mask")(inputs)


def _recurrent(k, units, bidirectional, return_sequences, **options):
    name = f"rnn_{k}"
    # An initializer object gives one matrix for ever: each layer gets its own.
    options = {n: v.clone() if hasattr(v, "clone") else v for n, v in options.items()}
    layer = VanillaRNN(units, return_sequences=return_sequences, name=name, **options)
    return Bidirectional(layer, name=name) if checks.flag("bidirectional", bidirectional) else layer


def _dropped(k, dropout, x):
    return keras.layers.Dropout(dropout, name=f"dropout_{k}")(x) if checks.rate("dropout", dropout) else x


def _head(task, outputs):
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}. Received: task={task!r}")
    if checks.positive_int("outputs", outputs) == 1 and task == "classes":
        raise ValueError(
            "`outputs` must be at least 2 with task='classes', one a class; for a yes or no use task='binary'. "
            "Received: outputs=1"
        )
    return keras.layers.Dense(outputs, activation=TASKS[task], name="output")


def _sizes(units):
    sizes = list(units) if isinstance(units, (list, tuple)) else [units]
    if not sizes:
        raise ValueError(
            "`units` must be a positive integer or a list of them, one a layer. Received: units=[]"
        )
    return [checks.positive_int("units", size) for size in sizes]


def _one_of(**sizes):
    given = {name: value for name, value in sizes.items() if value is not None}
    if len(given) != 1:
        received = ", ".join(f"{name}={value!r}" for name, value in sizes.items())
        raise ValueError(
            "Give one of `features` (real-valued input) and `vocab_size` (token ids). Received: " + received
        )
    for name, value in given.items():
        checks.positive_int(name, value)

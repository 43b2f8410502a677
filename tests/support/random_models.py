"""Random recurrent models, drawn from a seed: the parts of Keras that people put around a vanilla RNN, in any order.

A drawn model is built, has random asymmetric weights and comes with data that fit it.
"""

import keras
import numpy as np
from exported_models import randomize
from keras import layers

import keras_vrnn as kv

VOCABULARY = 17
SAMPLES = 24


class Drawing:
    """One model under construction, with the choices made so far in `parts`."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.parts = []
        self.inputs, self.data = [], {}
        self.timesteps = int(self.rng.integers(3, 13))

    def chance(self, probability):
        return self.rng.random() < probability

    def one_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def note(self, part):
        self.parts.append(part)

    # inputs

    def tokens(self):
        name = f"tokens{len(self.inputs)}"
        masked = self.chance(0.6)
        inputs = keras.Input((self.timesteps,), dtype=self.one_of("int32", "float32"), name=name)
        ids = self.rng.integers(1, VOCABULARY, (SAMPLES, self.timesteps))
        if masked:
            ids *= self.padding()
        self.inputs.append(inputs)
        self.data[name] = ids.astype("int32")
        self.note(f"Embedding(mask_zero={masked})")
        return layers.Embedding(VOCABULARY, self.width(), mask_zero=masked)(inputs)

    def signal(self):
        name = f"signal{len(self.inputs)}"
        features = self.width()
        inputs = keras.Input((self.timesteps, features), name=name)
        data = self.rng.normal(
            self.one_of(0.0, 0.5), self.one_of(0.3, 1.0, 4.0), (SAMPLES, self.timesteps, features)
        )
        self.inputs.append(inputs)
        x = inputs
        if self.chance(0.35):
            value = self.one_of(0.0, 0.0, -1.0)
            data = np.where(self.padding()[..., None], data, value)
            x = layers.Masking(value)(x)
            self.note(f"Masking({value})")
        self.data[name] = data.astype("float32")
        return x

    def vector(self, size):
        name = f"vector{len(self.inputs)}"
        inputs = keras.Input((size,), name=name)
        self.inputs.append(inputs)
        self.data[name] = self.rng.normal(0, 0.6, (SAMPLES, size)).astype("float32")
        return inputs

    def padding(self):
        """True at the steps of each sample that count: at least one, from the start."""
        lengths = self.rng.integers(1, self.timesteps + 1, (SAMPLES, 1))
        return np.arange(self.timesteps) < lengths

    def width(self):
        return int(self.rng.integers(2, 8))

    # layers over a sequence

    def around(self, x):
        """A layer that keeps the time axis."""
        masked = getattr(x, "_keras_mask", None) is not None
        choices = [
            lambda: layers.Dense(self.width(), self.one_of(None, "relu", "tanh", "gelu", "elu", "sigmoid")),
            lambda: layers.LayerNormalization(),
            lambda: layers.BatchNormalization(),
            lambda: layers.Dropout(0.3),
            lambda: layers.TimeDistributed(layers.Dense(self.width(), "relu")),
            lambda: layers.Activation(self.one_of("relu", "tanh", "leaky_relu", "silu")),
        ]
        if not masked:
            choices += [
                lambda: layers.Conv1D(
                    self.width(), self.one_of(1, 2, 3), padding=self.one_of("same", "causal")
                ),
                lambda: layers.SeparableConv1D(self.width(), 3, padding="same"),
                lambda: layers.AveragePooling1D(2, strides=1, padding="same"),
                lambda: layers.MaxPooling1D(2, strides=1, padding="same"),
                lambda: layers.SpatialDropout1D(0.2),
                self.attention,
            ]
        layer = self.one_of(*choices)()
        self.note(type(layer).__name__ if isinstance(layer, keras.Layer) else "attention")
        return layer(x)

    def attention(self):
        def apply(x):
            if self.chance(0.5):
                return layers.Add()([x, layers.Attention()([x, x])])
            return layers.MultiHeadAttention(num_heads=2, key_dim=3)(x, x)

        return apply

    def options(self):
        return dict(
            activation=self.one_of("tanh", "tanh", "tanh", "relu", "sigmoid", "linear", "elu", "hard_tanh"),
            use_bias=not self.chance(0.15),
        )

    def recurrent(self, x, return_sequences):
        """A recurrent layer of any kind; returns its output and a state or None."""
        units, options = self.width() + 1, self.options()
        kind = self.one_of("vanilla", "vanilla", "simple", "bidirectional", "stack", "cell")
        make = self.one_of(kv.VanillaRNN, layers.SimpleRNN)
        self.note(f"{kind} {make.__name__} {options['activation']}")
        if kind == "bidirectional":
            merge = self.one_of("concat", "sum", "mul", "ave")
            wrap = self.one_of(kv.Bidirectional, layers.Bidirectional)
            layer = make(units, return_sequences=return_sequences, **options)
            return wrap(layer, merge_mode=merge)(x), None
        if kind == "stack":
            stack = kv.StackedVanillaRNN(
                [units, units], bidirectional=self.chance(0.3), return_sequences=return_sequences, **options
            )
            return stack(x), None
        if kind == "cell":
            return layers.RNN(kv.VanillaRNNCell(units, **options), return_sequences=return_sequences)(x), None
        backwards = make is kv.VanillaRNN and self.chance(0.2)
        with_state = self.chance(0.3)
        layer = make(
            units,
            return_sequences=return_sequences,
            return_state=with_state,
            go_backwards=backwards,
            **options,
        )
        initial = {}
        if self.chance(0.25):
            initial["initial_state"] = self.vector(units)
            self.note("initial_state")
        made = layer(x, **initial)
        return (made[0], made[1]) if with_state else (made, None)

    def pooled(self, x):
        """A vector made of a sequence."""
        kind = self.one_of("average", "max", "flatten")
        self.note(kind)
        if kind == "flatten":
            return layers.Flatten()(x)
        pool = layers.GlobalAveragePooling1D if kind == "average" else layers.GlobalMaxPooling1D
        return pool()(x)

    def head(self, x):
        units, activation = self.one_of((1, "sigmoid"), (3, "softmax"), (2, None))
        self.note(f"head {activation}")
        return layers.Dense(units, activation)(x)


def draw(seed):
    """Returns a model, its data (input name -> array) and a description.

    Args:
        seed: an integer; the same one gives the same model.
    """
    drawing = Drawing(seed)
    x = drawing.tokens() if drawing.chance(0.4) else drawing.signal()
    for _ in range(drawing.rng.integers(0, 3)):
        x = drawing.around(x)
    states, depth = [], int(drawing.rng.integers(1, 4))
    many_to_many, pooled = drawing.chance(0.35), drawing.chance(0.2)
    for k in range(depth):
        sequence = k < depth - 1 or many_to_many or pooled
        x, state = drawing.recurrent(x, sequence)
        if state is not None:
            states.append(state)
        if sequence and drawing.chance(0.35):
            x = drawing.around(x)
    if pooled:
        x = drawing.pooled(x)
    if drawing.chance(0.2) and not (many_to_many and not pooled):
        x = layers.Concatenate()([x, layers.Dense(3, "relu")(drawing.vector(4))])
        drawing.note("second branch")
    outputs = [drawing.head(x)]
    if states and drawing.chance(0.5):
        outputs.append(states[0])
        drawing.note("state is an output")
    inputs = drawing.inputs
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])
    return (
        randomize(model, seed=seed),
        drawing.data,
        f"seed {seed}: T={drawing.timesteps}, " + ", ".join(drawing.parts),
    )

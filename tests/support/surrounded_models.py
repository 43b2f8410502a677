"""Small models with every kind of part around a vanilla recurrence, above all parts without weights.

Each entry of `MODELS` makes a model and its data: an array, or arrays in the structure of the model's inputs.
"""

import keras
import numpy as np
from exported_models import randomize
from keras import layers, ops

import keras_vrnn as kv

SAMPLES, T, F = 12, 8, 6


def signal(*shape, seed=11):
    return np.random.default_rng(seed).normal(size=(SAMPLES, *shape)).astype("float32")


def tokens(vocabulary=9, seed=12):
    return np.random.default_rng(seed).integers(1, vocabulary, (SAMPLES, T)).astype("int32")


def one(build, *shape):
    """A model of one input `x`, (T, F) unless told otherwise."""

    def make():
        inputs = keras.Input(shape or (T, F), name="x")
        return randomize(keras.Model(inputs, build(inputs))), signal(*(shape or (T, F)))

    return make


def two(build, shape_a=(T, F), shape_b=(T, F)):
    """A model of two inputs `a` and `b`."""

    def make():
        a, b = keras.Input(shape_a, name="a"), keras.Input(shape_b, name="b")
        return randomize(keras.Model([a, b], build(a, b))), {
            "a": signal(*shape_a),
            "b": signal(*shape_b, seed=13),
        }

    return make


def rnn(units=4, **options):
    return kv.VanillaRNN(units, **options)


def every(units=4, **options):
    return kv.VanillaRNN(units, return_sequences=True, **options)


def plain(x):
    """Keras' layer beside ours."""
    return layers.SimpleRNN(4)(x)


def both(merge_mode, sequences=False):
    return lambda x: layers.Bidirectional(rnn(3, return_sequences=sequences), merge_mode=merge_mode)(x)


def shared(build):
    """Builds on one layer that is called twice."""

    def make(*tensors):
        return build(rnn(), *tensors)

    return make


def sequential(*parts, shape=(T, F)):
    def make():
        model = keras.Sequential([keras.Input(shape, name="x"), *[part() for part in parts]])
        return randomize(model), signal(*shape)

    return make


def normalized(kind, **options):
    """A model with an adapted Normalization, statistics far from 0 and 1."""

    def make():
        x = 5 + 3 * signal(T, F)
        layer = layers.Normalization(axis=-1)
        layer.adapt(x)
        inputs = keras.Input((T, F), name="x")
        return keras.Model(inputs, kind(layer(inputs))), x

    return make


def inner(*parts, shape=(T, F)):
    return keras.Sequential([keras.Input(shape), *parts])


def nested_twice(x):
    block = inner(layers.Dense(5, "relu"), every(5))
    return layers.Concatenate()([block(x), block(x[:, ::-1])])


def two_levels(x):
    """A model with a shared model in it, which has a recurrence: the order of the calls must not depend on the form."""
    a = inner(layers.Dense(4), every(4))
    inputs = keras.Input((T, F))
    b = keras.Model(inputs, [a(inputs), rnn(2)(a(inputs))])
    return b(x)


def dict_inputs():
    def make():
        a, b = keras.Input((T, F), name="left"), keras.Input((T, F), name="right")
        y = layers.Subtract()([rnn()(b), rnn()(a)])
        structure = {"right": b, "left": a}
        return randomize(keras.Model(structure, y)), {"right": signal(T, F), "left": signal(T, F, seed=13)}

    return make


def nested_inputs():
    a, b, c = (keras.Input((T, F), name=name) for name in "abc")
    outputs = [[rnn(2)(b)], {"z": rnn(3)(a), "y": rnn(4)(c)}]
    model = randomize(keras.Model([[a, b], {"k": c}], outputs))
    return model, [[signal(T, F), signal(T, F, seed=13)], {"k": signal(T, F, seed=14)}]


def masked_by_an_input():
    x, mask = keras.Input((T, F), name="x"), keras.Input((T,), dtype="bool", name="mask")
    model = keras.Model([x, mask], every()(x, mask=mask))
    return randomize(model), {"x": signal(T, F), "mask": signal(T, seed=15) > -0.5}


def typed(dtype, build, values):
    """A model whose input is declared in another type."""

    def make():
        inputs = keras.Input((T, F), dtype=dtype, name="x")
        return randomize(keras.Model(inputs, build(inputs))), (values * signal(T, F)).astype(dtype)

    return make


def masked(layer, **options):
    """Tokens with padding on either side, so that the first and the last step of some samples are masked."""

    def make():
        inputs = keras.Input((T,), dtype="int32", name="tokens")
        x = layers.Embedding(9, 5, mask_zero=True)(inputs)
        data = tokens()
        data[::2, :2] = 0
        data[1::3, -3:] = 0
        return randomize(keras.Model(inputs, layer(**options)(x))), data

    return make


def keras_rnn(units=4, **options):
    return layers.RNN(layers.SimpleRNNCell(units), **options)


def beside(dtype, values):
    """A model with an input of another type that nothing reads, or that is an output as it is."""

    def make():
        x, other = keras.Input((T, F), name="x"), keras.Input((3,), dtype=dtype, name="other")
        model = keras.Model([x, other], [rnn()(x), other] if dtype == "int64" else rnn()(x))
        return randomize(model), {"x": signal(T, F), "other": np.abs(values * signal(3)).astype(dtype)}

    return make


def ones(x):
    """An initial state that depends on no input."""
    return rnn()(x, initial_state=ops.ones_like(x[:, 0, :4]) * 0.5)


def dict_outputs(x):
    return {"late": rnn()(x[:, :, 3:]), "early": rnn()(x[:, :, :3]), "again": every(3)(x)}


MODELS = {
    # outputs
    "two recurrences on slices": one(lambda x: [rnn()(x[:, :, :3]), rnn()(x[:, :, 3:])]),
    "two recurrences of one input": one(lambda x: [rnn()(x), rnn()(x)]),
    "three outputs of one kind": one(lambda x: [rnn()(x[:, :, 2 * k : 2 * k + 2]) for k in (2, 0, 1)]),
    "the same output twice": one(lambda x: [y := rnn()(x), y]),
    "an input that is an output": one(lambda x: [x, rnn()(x)]),
    "an input behind nothing": one(
        lambda x: [layers.Activation("linear")(x), rnn()(x), layers.Dropout(0.5)(x)]
    ),
    "a slice of the input is an output": one(lambda x: [x[:, 0], rnn()(x), x[:, -1]]),
    "state and sequence": one(lambda x: kv.VanillaRNN(4, return_sequences=True, return_state=True)(x)),
    "sequence and its last step": one(lambda x: [y := every()(x), y[:, -1], y[:, 0]]),
    "outputs as a dictionary": one(dict_outputs),
    "outputs as a nested structure": one(
        lambda x: {"b": [rnn()(x), rnn()(x[:, :, 1:])], "a": rnn()(x[:, :, 2:])}
    ),
    "an output that is constant": one(lambda x: [rnn()(x), ops.zeros_like(x[:, 0])]),
    # inputs
    "two inputs of one shape": two(lambda a, b: [rnn()(b), rnn()(a)]),
    "two inputs joined": two(lambda a, b: rnn()(layers.Concatenate()([b, a]))),
    "two inputs subtracted": two(lambda a, b: rnn()(layers.Subtract()([b, a]))),
    "one layer on two inputs": two(shared(lambda layer, a, b: [layer(b), layer(a)])),
    "one layer on two inputs, joined": two(
        shared(lambda layer, a, b: layers.Concatenate()([layer(b), layer(a)]))
    ),
    "a layer called twice": one(shared(lambda layer, x: [layer(x[:, ::-1]), layer(x)])),
    "inputs as a dictionary": dict_inputs(),
    "an initial state as an input": two(lambda a, b: rnn()(a, initial_state=b), shape_b=(4,)),
    "inputs in a nested structure": nested_inputs,
    "a mask as an input": masked_by_an_input,
    "an initial state of ones": one(ones),
    "an initial state of ones, a layer in front": one(lambda x: ones(layers.Dense(5)(x))),
    "a sequence of ones": one(lambda x: [rnn()(ops.ones_like(x)), rnn()(x)]),
    "float16": typed("float16", lambda x: rnn()(x), 1),
    "float64": typed("float64", lambda x: rnn()(x), 1),
    "uint8": typed("uint8", lambda x: rnn()(layers.Rescaling(0.01)(x)), 40),
    "bool": typed("bool", lambda x: rnn()(ops.cast(x, "float32")), 1),
    "uint8 that nothing reads": beside("uint8", 20),
    "float64 that nothing reads": beside("float64", 1),
    "int64 that is an output": beside("int64", 20),
    "a number per sample": two(lambda a, b: rnn()(a) * b[:, None], shape_b=()),
    # masks
    **{
        f"masked {name}{', sequences' if sequences else ''}{', zero outputs' if zero else ''}"
        f"{', backwards' if backwards else ''}": masked(
            layer, return_sequences=sequences, zero_output_for_mask=zero, go_backwards=backwards
        )
        for name, layer in (("VanillaRNN", rnn), ("RNN of Keras", keras_rnn))
        for sequences in (False, True)
        for zero in (False, True)
        for backwards in (False, True)
    },
    "an input that nothing reads": two(lambda a, b: rnn()(b)),
    # both directions
    **{f"Bidirectional {mode}": one(both(mode)) for mode in ("concat", "sum", "mul", "ave")},
    **{f"Bidirectional {mode}, sequences": one(both(mode, True)) for mode in ("concat", "sum", "mul", "ave")},
    "Bidirectional, no merge": one(both(None)),
    "Bidirectional, no merge, sequences": one(both(None, True)),
    "Bidirectional of Keras": one(lambda x: layers.Bidirectional(layers.SimpleRNN(3))(x)),
    "Bidirectional with states": one(lambda x: layers.Bidirectional(rnn(3, return_state=True))(x)),
    "our Bidirectional": one(lambda x: kv.Bidirectional(rnn(3))(x)),
    "a stack": one(lambda x: kv.StackedVanillaRNN([4, 3])(x)),
    "backwards": one(lambda x: every(go_backwards=True)(x)),
    # in front
    "Add": two(lambda a, b: rnn()(layers.Add()([a, b]))),
    "Multiply": two(lambda a, b: plain(layers.Multiply()([b, a]))),
    "Average, Maximum, Minimum": two(
        lambda a, b: [
            rnn()(layer([b, a])) for layer in (layers.Average(), layers.Maximum(), layers.Minimum())
        ]
    ),
    "Concatenate of features": two(lambda a, b: rnn()(layers.Concatenate()([b, a])), shape_b=(T, 3)),
    "Concatenate in time": two(lambda a, b: rnn()(layers.Concatenate(1)([b, a])), shape_b=(5, F)),
    "Rescaling": one(lambda x: rnn()(layers.Rescaling(0.5, offset=-0.25)(x))),
    "Rescaling and Softmax": one(lambda x: layers.Softmax()(rnn()(layers.Rescaling(2.0)(x)))),
    "Normalization": normalized(lambda x: rnn()(x)),
    "Normalization and Softmax": normalized(lambda x: layers.Softmax()(rnn()(x))),
    "MaxPooling1D": one(lambda x: rnn()(layers.MaxPooling1D(2)(x))),
    "AveragePooling1D": one(lambda x: rnn()(layers.AveragePooling1D(2)(x))),
    "Cropping1D": one(lambda x: rnn()(layers.Cropping1D((1, 2))(x))),
    "ZeroPadding1D": one(lambda x: rnn()(layers.ZeroPadding1D((1, 2))(x))),
    "UpSampling1D": one(lambda x: rnn()(layers.UpSampling1D(2)(x))),
    "Permute": one(lambda x: rnn()(layers.Permute((2, 1))(x))),
    "Reshape": one(lambda x: rnn()(layers.Reshape((4, 12))(x))),
    "Flatten and RepeatVector": one(lambda x: rnn()(layers.RepeatVector(3)(layers.Flatten()(x)))),
    "Flatten, RepeatVector, no weights": one(
        lambda x: rnn()(layers.RepeatVector(T)(layers.GlobalMaxPooling1D()(x)))
    ),
    "steps backwards": one(lambda x: rnn()(x[:, ::-1])),
    "every second step": one(lambda x: rnn()(x[:, ::2])),
    "Activation": one(lambda x: rnn()(layers.Activation("tanh")(x))),
    "ReLU, LeakyReLU": one(lambda x: [rnn()(layers.ReLU()(x)), rnn()(layers.LeakyReLU(0.2)(x))]),
    "Lambda": one(lambda x: rnn()(layers.Lambda(lambda v: 2 * v[:, 1:] - v[:, :-1])(x))),
    "ops": one(lambda x: rnn()(ops.concatenate([ops.abs(x), ops.square(x)], axis=-1))),
    "ops without a batch": one(lambda x: rnn()(x * ops.reshape(ops.arange(F, dtype="float32"), (1, 1, F)))),
    "ops over time": one(lambda x: rnn()(x - ops.mean(x, axis=1, keepdims=True))),
    "TimeDistributed": one(lambda x: rnn()(layers.TimeDistributed(layers.ReLU())(x))),
    "Masking": one(lambda x: rnn()(layers.Masking()(x))),
    "Dropout, noise": one(lambda x: rnn()(layers.GaussianNoise(0.5)(layers.SpatialDropout1D(0.5)(x)))),
    "UnitNormalization": one(lambda x: rnn()(layers.UnitNormalization()(x))),
    "images": one(lambda x: rnn()(layers.TimeDistributed(layers.Flatten())(x)), T, 3, 2),
    "Conv1D": one(lambda x: rnn()(layers.Conv1D(5, 3)(x))),
    "TimeDistributed model": one(
        lambda x: rnn()(layers.TimeDistributed(inner(layers.Dense(3), layers.ReLU(), shape=(F,)))(x))
    ),
    "TimeDistributed recurrence": one(lambda x: rnn(3)(layers.TimeDistributed(rnn())(x)), 5, T, 3),
    "EinsumDense": one(lambda x: rnn()(layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))(x))),
    "numbers": one(lambda x: rnn()(layers.Reshape((T, 1))(x)), T),
    # behind
    "Softmax": one(lambda x: layers.Softmax()(rnn()(x))),
    "Softmax over sequences": one(lambda x: layers.Softmax()(every()(x))),
    "ReLU behind": one(lambda x: layers.ReLU()(rnn()(x))),
    "Activation behind": one(lambda x: layers.Activation("sigmoid")(rnn()(x))),
    "GlobalMaxPooling1D": one(lambda x: layers.GlobalMaxPooling1D()(every()(x))),
    "GlobalAveragePooling1D": one(lambda x: layers.GlobalAveragePooling1D()(every()(x))),
    "MaxPooling1D behind": one(lambda x: layers.MaxPooling1D(2)(every()(x))),
    "AveragePooling1D behind": one(lambda x: layers.AveragePooling1D(2)(every()(x))),
    "Flatten": one(lambda x: layers.Flatten()(every()(x))),
    "Reshape behind": one(lambda x: layers.Reshape((2, 2))(rnn()(x))),
    "Permute behind": one(lambda x: layers.Permute((2, 1))(every()(x))),
    "the last step": one(lambda x: every()(x)[:, -1]),
    "a slice of units": one(lambda x: [y := rnn()(x), y[:, :1], y[:, 1:]]),
    "RepeatVector": one(lambda x: every()(layers.RepeatVector(5)(rnn()(x)))),
    "residual": one(lambda x: layers.Add()([x, every(F)(x)])),
    "product of two": one(lambda x: layers.Multiply()([rnn()(x), plain(x)])),
    "Dot": one(lambda x: layers.Dot(1)([rnn()(x), plain(x)])),
    "a head": one(lambda x: layers.Dense(3, "softmax")(rnn()(x))),
    "argmax": one(lambda x: ops.argmax(rnn()(x), axis=-1)),
    "rounding": one(lambda x: ops.sign(rnn()(x))),
    "sum of all": one(lambda x: ops.sum(every()(x), axis=(1, 2))),
    # whole models
    "nothing but a recurrence": sequential(rnn),
    "Sequential with Softmax": sequential(rnn, layers.Softmax),
    "a nested model": one(lambda x: layers.Dense(2)(inner(every(5), layers.ReLU(), rnn())(x))),
    "a nested model without weights": one(lambda x: rnn()(inner(layers.ReLU(), layers.MaxPooling1D(2))(x))),
    "a nested model called twice": one(nested_twice),
    "nested in two levels": one(two_levels),
    "BatchNormalization": one(lambda x: layers.BatchNormalization()(rnn()(layers.BatchNormalization()(x)))),
    "LayerNormalization": one(lambda x: layers.LayerNormalization()(every()(x))),
    "attention": one(lambda x: (y := every()(x), layers.Attention()([y, y]))[1]),
}

"""Whole exported models and random recurrences in the simulation against TFLite Micro: no integer may differ."""

import keras
import pytest
import random_models
from exported_models import randomize
from keras import layers, ops
from simulated import OTHERS, compare, compare_file, export, recurrence
from surrounded_models import MODELS, every, one, rnn, tokens, two

from keras_vrnn.tflite.micro.interpreter import attempt, is_installed

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
INTEGERS = ("int8", "int16x8")


def convolutions(x):
    """Every padding, a stride and a dilation, normalization folded and on its own."""
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(6, 3, padding="same", use_bias=False)(x)))
    x = layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2)(x)
    x = layers.BatchNormalization()(layers.MaxPooling1D(2, 1, padding="same")(x))
    x = layers.SeparableConv1D(5, 2, padding="same", activation="tanh")(x)
    return rnn()(layers.Conv1D(6, 3, strides=2, groups=1)(x))


def poolings(x):
    x = layers.AveragePooling1D(2, 1, padding="same")(layers.Dense(5, "relu6")(x))
    y = every(5)(layers.MaxPooling1D(3, 2)(x))
    pooled = [layers.GlobalAveragePooling1D()(y), layers.GlobalMaxPooling1D()(y), layers.Flatten()(y)]
    return [layers.Dense(3, "softmax")(layers.Concatenate()(pooled)), layers.AveragePooling1D(2)(y)]


def shapes(x):
    x = layers.Reshape((8, 6))(layers.Permute((2, 1))(x))
    x = layers.ZeroPadding1D((1, 2))(layers.Cropping1D((1, 1))(x))
    y = every()(layers.Concatenate()([x[:, ::-1], x]))
    return [layers.Permute((2, 1))(y), y[:, -1, :2], layers.Dense(2)(layers.Flatten()(y))]


def merges(a, b):
    h, g = rnn()(layers.Dense(5, "sigmoid")(a)), layers.Dense(4, "tanh")(rnn()(layers.Subtract()([a, b])))
    pair = [h, g]
    joined = [
        layers.Add(),
        layers.Subtract(),
        layers.Multiply(),
        layers.Maximum(),
        layers.Minimum(),
        layers.Average(),
    ]
    return [layers.Concatenate()([join(pair) for join in joined]), layers.Dense(3, "softmax")(h * 0.5 - g)]


def activations(x):
    x = layers.LeakyReLU(0.2)(layers.Dense(7, "relu")(x))
    x = layers.Dense(6, "hard_tanh" if hasattr(keras.activations, "hard_tanh") else "tanh")(x)
    return layers.Dense(3, "leaky_relu")(rnn()(layers.Dense(5, "sigmoid")(x)))


def only_int8(x):
    """Functions whose int16 form the converter does not have."""
    x = layers.PReLU(shared_axes=[1])(layers.Dense(6, "elu")(layers.Dense(6, "hard_silu")(x)))
    return layers.Dense(5, "log_softmax")(rnn()(layers.Dense(4, "softsign")(ops.abs(x))))


def normalizations(x):
    y = every()(layers.LayerNormalization()(layers.Rescaling(0.5, offset=0.1)(x)))
    return layers.Softmax()(layers.LayerNormalization()(y))


def attention(x):
    y = every()(x)
    z = layers.MultiHeadAttention(2, 3)(y, y)
    return [layers.GlobalAveragePooling1D()(layers.Attention()([y, z])), layers.Dot(1)([y, y])]


def embedded(mask):
    def make():
        inputs = keras.Input((8,), dtype="int32", name="tokens")
        x = layers.Embedding(9, 5, mask_zero=mask)(inputs)
        data = tokens()
        data[1::3, -3:] = 0 if mask else 1
        read = x if mask else layers.Conv1D(6, 3, activation="relu")(x)
        y = layers.Bidirectional(every(4))(read)
        model = keras.Model(inputs, [layers.Dense(3, "softmax")(y), layers.GlobalAveragePooling1D()(y)])
        return randomize(model), data

    return make


WHOLE = {
    "convolutions": one(convolutions, 16, 6),
    "poolings": one(poolings),
    "shapes": one(shapes),
    "merges": two(merges),
    "activations": one(activations),
    "normalizations": one(normalizations),
    "attention": one(attention),
    "an embedding": embedded(False),
    "a masked embedding": embedded(True),
    "Normalization": MODELS["Normalization and Softmax"],
    "transposed": one(lambda x: rnn()(layers.Conv1DTranspose(5, 3, strides=2)(x))),
    "images": one(
        lambda x: rnn()(layers.Reshape((4, -1))(layers.Conv2D(3, (2, 3), padding="same")(x))), 4, 6, 2
    ),
}


@pytest.mark.parametrize("quantization", INTEGERS)
@pytest.mark.parametrize("name", WHOLE)
def test_whole_models(name, quantization, tmp_path):
    model, x = WHOLE[name]()
    different, count = compare(model, x, tmp_path / "m", quantization=quantization)
    assert count
    assert not different


def test_functions_of_int8_alone(tmp_path):
    model, x = one(only_int8)()
    assert not compare(model, x, tmp_path / "m")[0]


@pytest.mark.parametrize("name", OTHERS)
def test_activations_by_table(name, tmp_path):
    """Activations of a recurrence that TFLite has no operator for."""
    model, x = one(lambda x: every(activation=name)(x))()
    assert not compare(model, x, tmp_path / "m")[0]


# Keras warns where a drawn model drops a mask.
@pytest.mark.filterwarnings("ignore:.*destroy the mask information:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("quantization", INTEGERS)
def test_random_models(quantization, tmp_path):
    ran = 0
    for seed in range(30):
        model, x, description = random_models.draw(seed)
        path = tmp_path / f"{seed}"
        try:
            export(model, path, x, quantization=quantization)
        except ValueError as error:
            if "int16" not in str(error):  # what has no int16 operator
                raise
            continue
        if attempt(path).runs:
            ran += 1
            assert not compare_file(path, x)[0], description
    assert ran >= 12


def states(seeds, lengths, units, folder, quantization):
    """Compares random recurrences; returns how many state entries were compared, of which none may differ."""
    total = 0
    for seed, timesteps in zip(seeds, lengths, strict=True):
        model, x, description = recurrence(seed, timesteps, units)
        streaming = seed % 8 == 0  # a layer alone
        different, count = compare(
            model,
            x,
            folder / "m",
            quantization=quantization,
            form="streaming" if streaming and "masked=False" in description else "sequence",
        )
        assert not different, description
        total += count
    return total


@pytest.mark.parametrize("quantization", INTEGERS)
def test_thousands_of_states(quantization, tmp_path):
    assert states(range(8), [5, 9, 17, 30, 40, 11, 3, 1], 6, tmp_path, quantization) == 1742


@pytest.mark.slow
@pytest.mark.parametrize("quantization", INTEGERS)
def test_a_million_states(quantization, tmp_path):
    lengths = [1000, 700, 300, 1000, 64, 500, 150, 1000, 400, 900, 250, 1000]
    assert states(range(100, 112), lengths, 64, tmp_path, quantization) == 1_026_160

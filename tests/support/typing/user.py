"""A user's program without mistakes: type checkers must accept it, and see the types that it states."""

import keras
import numpy as np
from typing_extensions import assert_type

import keras_vrnn as kv
from keras_vrnn.datasets import LabelledTexts
from keras_vrnn.models import Hypotheses
from keras_vrnn.text import Vocabulary

x = np.zeros((8, 50, 6), np.float32)
cell = kv.VanillaRNNCell(4, activation=None, seed=1)
layer = kv.VanillaRNN(
    4,
    activation=keras.activations.relu,
    recurrent_initializer=kv.initializers.ScaledIdentity(0.5),
    return_sequences=True,
    name="rnn",
    dtype="mixed_float16",
)
both = kv.Bidirectional(layer, merge_mode=None)
stack = kv.StackedVanillaRNN([8, 4], bidirectional=True, recurrent_dropout=0.1, name="stack")
model = kv.Sequential([keras.Input((50, 6)), stack, keras.layers.Dense(2)])
functional = kv.Model(model.inputs, model.outputs)

assert_type(kv.many_to_one([64, 32], outputs=4, features=6, activation="relu"), kv.Model)
assert_type(kv.many_to_many(64, 4, vocab_size=1000, bidirectional=True), kv.Model)
assert_type(kv.one_to_many(64, 28, "regression", vocab_size=10, timesteps=28), kv.Model)

translator = kv.EncoderDecoder(30, 42, units=[64, 64], attention=32, recurrent_initializer="identity")
found = translator.decode([[3, 4, 5]], beam_width=4)
assert_type(found, Hypotheses)
assert_type(translator.start, int)

data = kv.datasets.labelled_csv("mine.csv", label="stars")
assert_type(data, LabelledTexts)
assert_type(kv.datasets.split_by_blocks(data, (0.8, 0.2)), tuple[LabelledTexts, ...])
vocabulary = kv.text.Vocabulary.build(data.texts, size=1000, max_length=50)
assert_type(vocabulary, Vocabulary)
assert_type(vocabulary.tokenize("a gem"), list[str])
letters = kv.Symbols(("a", "b"))
assert_type(letters.decode([3, 4]), tuple[str, ...])
assert_type(kv.__version__, str)
kv.tflite.export(model, "model.tflite", quantization="int8", calibration_data=x, overwrite=True)
trained = kv.compression.quantize_aware(model, "int16x8", calibration_data=x)
assert_type(trained, keras.Model)
kv.compression.quantize_aware(model, weight_bits=4, calibration_data=x)

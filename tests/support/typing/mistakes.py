"""A user's program with one mistake per marked line, each of which type checkers must report."""

import keras_vrnn as kv
from keras_vrnn import nonsense  # mistake  # noqa: F401
from keras_vrnn.tflite import Runer  # mistake  # noqa: F401

kv.nonsense  # mistake
kv.tflite.exprot  # mistake
kv.diagnostics.nonsense  # mistake
kv.training.nonsense  # mistake
kv.callbacks.nonsense  # mistake
kv.VanillaRNN("32")  # mistake
kv.VanillaRNN(32, retrun_sequences=True)  # mistake
kv.VanillaRNN(32, activation=3)  # mistake
kv.VanillaRNNCell(4, dropout="half")  # mistake
kv.Bidirectional(kv.VanillaRNN(4), merge_mode="average")  # mistake
kv.StackedVanillaRNN(64)  # mistake
kv.StackedVanillaRNN([64], go_backwards=True)  # mistake
kv.initializers.ScaledIdentity(gain="1")  # mistake
kv.many_to_one(4, outpts=3, features=2)  # mistake
kv.many_to_one(4, 3, task="class", features=2)  # mistake
kv.many_to_many(4, 3, features="2")  # mistake
kv.one_to_many(4, 3, features=2)  # mistake
kv.EncoderDecoder(30, units=64)  # mistake
kv.EncoderDecoder(30, 42, 64).decode([[3]], beam_witdh=4)  # mistake
kv.EncoderDecoder(30, 42, 64).decode([[3]]).bset  # mistake
kv.datasets.labelled_csv(3)  # mistake
kv.datasets.movie_reviews(sources="imdb")  # mistake
kv.text.Vocabulary.build(["a gem"], size="1000", max_length=5)  # mistake
kv.text.Vocabulary(words=("a",), length=3).tokenise("a gem")  # mistake
kv.Symbols("a", "b")  # mistake
kv.tflite.export(None, "model.tflite", quantisation="int8")  # mistake
kv.tflite.export(None, "model.tflite", "sequence")  # mistake
kv.compression.quantize_aware(kv.many_to_one(4, 3, features=2), "int4")  # mistake
kv.compression.quantize_aware(kv.many_to_one(4, 3, features=2), weight_bits=2)  # mistake
kv.compression.quantize_aware(kv.many_to_one(4, 3, features=2), calibrating_data=[])  # mistake

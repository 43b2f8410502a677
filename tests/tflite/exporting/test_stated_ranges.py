"""The contract of stated formats: order, joints with recurrences, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from stated_models import BARS, TANH, Case, built, chain, check, one_layer

import keras_vrnn as kv
from keras_vrnn.tflite.exporting import stated_ranges
from keras_vrnn.tflite.exporting.capture import sampling
from keras_vrnn.tflite.exporting.capture.observation import observe
from keras_vrnn.tflite.exporting.capture.partition import partition
from keras_vrnn.tflite.exporting.options import Options
from keras_vrnn.tflite.exporting.writing import stitching
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

BOTH = pytest.mark.parametrize("quantization", ["int8", "int16x8"])


@BOTH
def test_concatenated_values_keep_their_formats_for_other_readers(quantization):
    first, second, last = (
        built(layers.Dense(3), (5, 6)),
        built(layers.Dense(3), (5, 6)),
        built(layers.Dense(2), (5, 3)),
    )

    def function(mark, a, b):
        u, v = mark("u", first(a)), mark("v", second(b))
        return [mark("c", tf.concat([u, v], -1)), mark("e", last(u)), u]

    case = Case(function, [(1, 5, 6), (1, 5, 6)], quantization)
    assert sorted(case.operators()) == sorted(
        [
            "FULLY_CONNECTED(x0, w, b) u",
            "FULLY_CONNECTED(x1, w, b) v",
            "FULLY_CONNECTED(u, w, b) e",
            "QUANTIZE(u) c",
            "QUANTIZE(v) c",
            "CONCATENATION(c, c) c",
        ]
    )
    assert max(case.errors()) <= BARS[quantization]


@BOTH
def test_a_mark_keeps_layers_apart(quantization):
    """Without marks the converter adds the first bias, times the second weights, to the second bias."""
    case = chain(layers.Dense(3), layers.Dense(2), shape=(5, 6), quantization=quantization)
    check(case, "FULLY_CONNECTED(x0, w, b) y0", "FULLY_CONNECTED(y0, w, b) y1")


@BOTH
def test_inputs_and_outputs_keep_their_order(quantization):
    """Outputs that are an input, or twice the same, and inputs that are read in another order."""

    def function(mark, a, b):
        y = mark("y", b * 2.0)
        return [y, mark("z", a[:, :3] + 1.0), b, y]

    case = Case(function, [(1, 6), (1, 6)], quantization)
    main = case.main
    assert [case.name_of(main, int(k)) for k in main.subgraph.inputs] == ["x0", "x1"]
    assert [case.name_of(main, int(k)) for k in main.subgraph.outputs] == ["y", "z", "x1", "y"]
    assert max(case.errors()) <= BARS[quantization]


@BOTH
def test_a_value_without_a_mark_is_named(quantization):
    case = one_layer(layers.LayerNormalization(), (8, 6), quantization)
    with pytest.raises(ValueError, match=r"the result of MEAN in 'layer_normalization.*' with no mark"):
        case.convert()


@BOTH
def test_a_pool_with_another_format_than_its_operand_is_refused(quantization):
    case = chain(layers.Dense(3), layers.AveragePooling1D(2), shape=(8, 6), quantization=quantization)
    with pytest.raises(ValueError, match=r"average_pooling1d.*instead of scale .*whose integers it moves"):
        case.convert()


def test_floats_never_stay():
    case = one_layer(layers.Dense(3, "elu"), (6,), "int8")
    with pytest.raises(ValueError, match=r"the result of FULLY_CONNECTED .*no mark"):
        case.convert()
    dense = built(layers.Dense(3), (6,))
    case = Case(lambda mark, x: [mark("y", tf.nn.elu(mark("z", dense(x))))], [(1, 6)], "int8")
    with pytest.raises(ValueError, match=r"that TFLite computes with integers\. Received: the operator ELU"):
        case.convert()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda mark, a: mark("y", tf.nn.elu(a)), "ELU"),
        (lambda mark, a: mark("y", a / mark("d", tf.exp(a))), "DIV"),
        (lambda mark, a: mark("y", tf.where(a > 0.0, a, -1.0)), "GREATER"),
    ],
)
def test_what_int16x8_lacks_is_named(function, name):
    with pytest.raises(ValueError, match=f"takes with quantization='int16x8'. Received: .*'{name}'"):
        Case(lambda mark, a: [function(mark, a)], [(1, 6)], "int16x8").convert()


@BOTH
def test_a_marked_constant_is_refused(quantization):
    """The converter may compute such a mark and leave no trace of it."""
    case = Case(lambda mark, a: [mark("y", a * mark("f", tf.constant([0.5, 2.0])))], [(1, 2)], quantization)
    with pytest.raises(ValueError, match="marks only on tensors that depend on its inputs"):
        case.convert()


@BOTH
def test_a_loop_is_refused(quantization):
    def function(mark, a):
        return [mark("y", tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: v + 1.0, [a])[0])]

    with pytest.raises(ValueError, match="must have no loop besides"):
        Case(function, [(1, 6)], quantization).convert()


class Marked(layers.Dense):
    """A dense layer that states its formats: inputs and results in [-1, 1]."""

    def __init__(self, units, quantization, **options):
        super().__init__(units, **options)
        self.quantization = quantization

    def call(self, inputs):
        held = TANH[self.quantization]
        inputs = stated_ranges.mark(inputs, held, self.quantization)
        return stated_ranges.mark(super().call(inputs), held, self.quantization)


@BOTH
def test_the_file_joins_with_a_recurrence_as_a_calibrated_one(quantization, tmp_path):
    inputs = keras.Input((5, 3))
    x = kv.VanillaRNN(4, return_sequences=True)(Marked(3, quantization)(inputs))
    model = keras.Model(inputs, Marked(2, quantization)(kv.VanillaRNN(4)(x)))
    data = np.random.default_rng(0).uniform(-0.99, 0.99, (16, 5, 3)).astype("f")
    options = Options("sequence", quantization, "float32", "explicit", 1, "minmax", 0.1)
    calls = observe(model, [data[:1]])
    parts = partition(
        model, {model.inputs[0].name: tf.TensorSpec((1, 5, 3), tf.float32)}, calls, quantization
    )
    _, formats_of, value_formats = sampling.calibrated(model, options, parts, [data])
    content, _ = stitching.stitch(
        parts, ModelFile(stated_ranges.convert(parts.stock, quantization)), formats_of, value_formats, options
    )
    path = tmp_path / "m.tflite"
    path.write_bytes(content.pack())
    runner = kv.tflite.Runner(path)
    made = np.concatenate([runner(row[None]) for row in data])
    # Two recurrences of five steps at 1/128.
    np.testing.assert_allclose(made, model.predict(data, verbose=0), atol=0.06)

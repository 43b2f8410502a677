"""Files with 4-bit weights: their layers around the recurrences, their size, and every tool that reads them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from exported_models import random_data, randomize
from keras import layers

import keras_vrnn as kv
from keras_vrnn.quantization.schemes import SCHEMES
from keras_vrnn.tflite.exporting import four_bit, stock
from keras_vrnn.tflite.exporting.writing.flatbuffer import Graph, ModelFile
from keras_vrnn.tflite.micro.interpreter import MicroRunner, is_installed
from keras_vrnn.tflite.running.simulator import Simulator

X = random_data(40, 9, 4)
INT4 = SCHEMES["int8x4"]


def export(model, folder, x=X, quantization="int8x4", **options):
    return kv.tflite.export(
        model, folder / "m.tflite", quantization=quantization, calibration_data=x, overwrite=True, **options
    )


def weight_types(path):
    """Operator -> types of the weights that its uses read."""
    types = {}
    for graph in kv.tflite.inspect(path).subgraphs:
        for operator in graph.operators:
            if operator.name in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D"):
                types.setdefault(operator.name, set()).add(graph.tensors[operator.inputs[1]].dtype)
    return types


def with_every_operator():
    inputs = keras.Input((9, 4), name="x")
    x = layers.Conv1D(6, 2, padding="same", activation="relu")(inputs)
    x = layers.DepthwiseConv1D(2, padding="same")(x)
    x = layers.TimeDistributed(layers.Dense(5, "relu"))(x)
    h = kv.VanillaRNN(7)(x)
    return randomize(keras.Model(inputs, layers.Dense(3, name="y")(layers.Dense(6, "relu")(h))))


def test_products_have_four_bits_and_convolutions_eight(tmp_path):
    result = export(with_every_operator(), tmp_path)
    types = weight_types(result.path)
    assert types.pop("FULLY_CONNECTED") == {"INT4"}
    assert types
    assert all(found == {"INT8"} for found in types.values())


def test_the_file_is_smaller_by_half_of_its_weights(tmp_path):
    """And by one scale per product instead of one per unit."""
    model = randomize(kv.many_to_one(64, 10, features=28, timesteps=5))
    x = random_data(20, 5, 28)
    eight, four = (export(model, tmp_path, x, quantization).size for quantization in ("int8", "int8x4"))
    weights = 28 * 64 + 64 * 64 + 64 * 10
    # A float32 scale for each unit of three products and two biases, and int64 zeros once for each number of units.
    scales = 4 * (64 + 64 + 10 + 64 + 10) + 8 * (64 + 10)
    assert eight - four == pytest.approx(weights / 2 + scales, rel=0.05)
    sizes = kv.tflite.inspect(tmp_path / "m.tflite").sizes
    assert weights / 2 <= sizes["weights"] <= weights / 2 + 4 * 74 + 60  # and biases, shapes


@pytest.mark.skipif(not is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize("form", ["sequence", "unrolled", "streaming"])
@pytest.mark.parametrize("units", [5, 16])
def test_tflite_micro_computes_what_the_simulation_computes(form, units, tmp_path):
    keras.utils.set_random_seed(units)
    inputs = keras.Input((9, 4), name="x")
    h = kv.VanillaRNN(units, return_sequences=True)(inputs)
    model = randomize(keras.Model(inputs, layers.Dense(3, name="y")(layers.Dense(6, "relu")(h))))
    export(model, tmp_path, form=form)
    simulated, micro = Simulator(tmp_path / "m.tflite")(X), MicroRunner(tmp_path / "m.tflite")(X)
    np.testing.assert_array_equal(simulated, micro)
    report = kv.tflite.inspect(tmp_path / "m.tflite")
    assert (report.micro_ready, report.micro_tried, report.litert_reason) == (True, True, "")


def function_of(layer, *shape):
    """A traced function of a Keras layer, and samples for its calibration."""
    call = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((1, *shape))], autograph=False)
    data = np.random.default_rng(2).normal(size=(60, *shape)).astype("float32")
    mixture = np.random.default_rng(3).normal(size=(shape[-1] // 2, shape[-1])).astype("float32")
    data = data[..., : shape[-1] // 2] @ mixture + 0.1 * data  # correlated, as real signals are
    return call.get_concrete_function(), lambda: iter([[row[None]] for row in data]), data


def converted(concrete, samples):
    return ModelFile(stock.convert(concrete, "int8x4", samples)), stock.convert(concrete, "float32")


def outputs(file, data):
    """What a file computes, as real numbers."""
    interpreter = Interpreter(model_content=file.pack())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    made = []
    for row in data:
        integers = np.clip(np.round(row / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], integers[None])
        interpreter.invoke()
        made.append(interpreter.get_tensor(target["index"])[0].astype(float))
    return (np.stack(made) - target["quantization"][1]) * target["quantization"][0]


def clear_ranges(file):
    """Removes the ranges of calibration, which `pack` does not take; the export does the same at its end."""
    for tensor in file.main.subgraph.tensors:
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
    return file


def test_rounding_takes_the_data_into_account_in_every_layer(monkeypatch):
    """The second layer too, whose inputs only the float file computes."""
    block = randomize(keras.Sequential([keras.Input((12,)), layers.Dense(16, "relu"), layers.Dense(5)]))
    concrete, samples, data = function_of(block, 12)
    expected = block.predict(data, verbose=0)
    errors, moments = {}, []
    product = SCHEMES["int8x4"].product

    def recorded(*arguments):
        moments.append(arguments[-1])
        return product(*arguments)

    for name in ("data", "nearest"):
        file, exact = converted(concrete, samples)
        monkeypatch.setattr(
            INT4, "product", recorded if name == "data" else lambda *a: product(*a[:-1]), raising=False
        )
        four_bit.requantize(file, exact, INT4, samples)
        errors[name] = np.sqrt(np.mean((outputs(clear_ranges(file), data) - expected) ** 2))
    assert errors["data"] < 0.7 * errors["nearest"]
    hidden = np.maximum(data @ block.layers[0].kernel + block.layers[0].bias, 0)
    for (count, products), x in zip(moments, (data, hidden), strict=True):
        assert count == len(data)
        np.testing.assert_allclose(products, x.T @ x, rtol=1e-4, atol=1e-2)  # float32 sums


class Twice(keras.layers.Layer):
    """One Dense on two signals of different sizes, and another of the same shape: each keeps its weights and bias."""

    def __init__(self):
        super().__init__()
        self.shared, self.other = layers.Dense(4), layers.Dense(4)

    def call(self, x):
        return self.shared(x) + self.shared(self.other(x)) * 3.0


def test_shared_layers_and_layers_of_one_shape(monkeypatch):
    layer = Twice()
    concrete, samples, data = function_of(layer, 4)
    rng = np.random.default_rng(0)
    for v in layer.weights:
        v.assign(rng.normal(size=v.shape))
    file, exact = converted(concrete, samples)
    four_bit.requantize(file, exact, INT4, samples)
    made, expected = outputs(clear_ranges(file), data), np.asarray(layer(data))
    # 4-bit weights twice in a row; a bias or weights of the wrong layer give 0.3 and more.
    assert np.mean(np.abs(made - expected)) < 0.1 * np.ptp(expected)


def test_weights_that_are_not_in_the_float_file():
    models = [randomize(keras.Sequential([keras.Input((6,)), layers.Dense(3)]), seed=seed) for seed in (7, 8)]
    first, samples, _ = function_of(models[0], 6)  # a traced function doesn't keep its model's variables
    second, *_ = function_of(models[1], 6)
    file, _ = converted(first, samples)
    with pytest.raises(RuntimeError, match="were not found; please report it"):
        four_bit.requantize(file, stock.convert(second, "float32"), INT4, samples)


def test_a_layer_with_more_inputs_than_correlations_are_kept_of(monkeypatch, tmp_path):
    monkeypatch.setattr(four_bit, "MOST_INPUTS", 20)
    inputs = keras.Input((9, 4), name="x")
    flat = layers.Flatten()(kv.VanillaRNN(6, return_sequences=True)(inputs))
    model = randomize(keras.Model(inputs, layers.Dense(3, name="y")(flat)))
    (error,) = export(model, tmp_path).errors.values()
    assert error < 0.1


def test_the_other_tools_read_the_file(tmp_path):
    model = with_every_operator()
    result = export(model, tmp_path, io="float32")
    report = kv.tflite.verify(model, result.path, X)
    assert report.mean_error <= 0.1 * np.ptp(model.predict(X, verbose=0))
    assert kv.tflite.benchmark(result.path, runs=2, warmup=0).size == result.size
    details = kv.tflite.Runner(result.path).details
    assert {detail["dtype"] for detail in details.values()} == {np.float32}
    if is_installed():
        names = {path.name for path in kv.tflite.write_c_array(result.path, tmp_path / "c")}
        assert "model_data.cc" in names


def test_pruned_weights_stay_zero(tmp_path):
    model = randomize(keras.Sequential([keras.Input((9, 4)), kv.VanillaRNN(12), layers.Dense(3)]))
    rng = np.random.default_rng(0)
    kept = []
    for v in model.weights:
        if len(v.shape) == 2:
            kept.append(rng.random(v.shape) < 0.4)
            v.assign(v.numpy() * kept[-1])
    export(model, tmp_path)
    file = ModelFile((tmp_path / "m.tflite").read_bytes())
    graphs = [Graph(file, subgraph) for subgraph in file.model.subgraphs]
    stored = [
        graph.data(i)
        for graph in graphs
        for i, tensor in enumerate(graph.subgraph.tensors)
        if tensor.type == schema.TensorType.INT4
    ]
    assert len(stored) == len(kept)
    for mask in kept:
        (found,) = [values for values in stored if values.shape == mask.T.shape]
        assert not found[~mask.T].any()
        assert found.any()


def test_without_samples_each_weight_is_rounded_to_nearest():
    block = randomize(keras.Sequential([keras.Input((12,)), layers.Dense(5)]))
    concrete, samples, _ = function_of(block, 12)
    file, exact = converted(concrete, samples)
    four_bit.requantize(file, exact, INT4, None)
    rows = block.layers[0].kernel.numpy().T.astype(np.float64)
    expected = np.clip(np.round(rows / INT4.weight_scales(rows)), -7, 7)
    (product,) = file.main.subgraph.operators
    np.testing.assert_array_equal(file.main.data(product.inputs[1]), expected)

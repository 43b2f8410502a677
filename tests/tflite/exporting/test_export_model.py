"""The exported file against Keras, in the real LiteRT and TFLite Micro interpreters; exports from several threads."""

import threading

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from covering import covering
from exported_models import (
    MODELS,
    bidirectional,
    dense_front,
    random_data,
    random_tokens,
    randomize,
    residual_with_two_outputs,
    token_model,
)
from keras import layers

import keras_vrnn as kv
from keras_vrnn.layers import interception
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

# float32 rounding over at most 40 steps of sums of a few dozen terms.
FLOAT_TOLERANCE = 1e-5


@pytest.fixture(params=MODELS, scope="module")
def model_and_data(request):
    make, data = MODELS[request.param]
    return make(), data()


@pytest.fixture(scope="module")
def int8_export(model_and_data, tmp_path_factory):
    model, x = model_and_data
    path = tmp_path_factory.mktemp("int8") / "m.tflite"
    return kv.tflite.export(model, path, quantization="int8", calibration_data=x)


def test_float32_equals_keras(model_and_data, tmp_path):
    model, x = model_and_data
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="float32")
    assert kv.tflite.verify(model, tmp_path / "m.tflite", x).max_error <= FLOAT_TOLERANCE


def test_int8_is_close_to_keras(model_and_data, int8_export):
    model, x = model_and_data
    report = kv.tflite.verify(model, int8_export.path, x)
    y = keras.tree.flatten(model.predict(x, verbose=0))
    # z, r and a are each rounded once a step, to about 1/100 of their range; through φ and the head that stays
    # within a few hundredths of the output's range. A wrong scale or a transposed kernel gives ten times as much.
    assert report.mean_error <= 0.03 * max(np.ptp(output) for output in y)


def test_a_transposed_recurrent_kernel_is_noticed(tmp_path):
    model, x = dense_front(), random_data(40, 9, 4)
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8", calibration_data=x)
    cell = model.layers[0].cell
    cell.recurrent_kernel.assign(np.transpose(cell.recurrent_kernel.numpy()))
    assert kv.tflite.verify(model, tmp_path / "m.tflite", x).mean_error > 0.03


def recurrent_graphs(file):
    """The conditions and bodies of every loop."""
    indices = set()
    for operator in file.main.subgraph.operators:
        if file.operator_name(operator) == "WHILE":
            options = operator.builtinOptions
            indices |= {options.condSubgraphIndex, options.bodySubgraphIndex}
    return [file.model.subgraphs[i] for i in indices]


def test_int8_file_holds_no_float_and_no_foreign_operator(int8_export):
    file = ModelFile(int8_export.path.read_bytes())
    assert int8_export.operators["WHILE"] == len(recurrent_graphs(file)) / 2
    assert not any(name.startswith("CUSTOM") for name in int8_export.operators)
    types = {tensor.type for subgraph in file.model.subgraphs for tensor in subgraph.tensors}
    integers = {schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.BOOL}
    assert types <= integers


@pytest.mark.parametrize(
    ("make", "return_sequences", "quantization"),
    covering([dense_front, token_model], [False, True], ["float32", "int8"]),
)
def test_size_does_not_grow_with_time(make, return_sequences, quantization, tmp_path):
    sizes = []
    for timesteps in (32, 256):
        model = make(timesteps, return_sequences=return_sequences, name="rnn")
        x = random_data(5, timesteps, 4) if make is dense_front else random_tokens(5, timesteps, 20)
        path = tmp_path / f"{timesteps}.tflite"
        result = kv.tflite.export(model, path, quantization=quantization, calibration_data=x)
        sizes.append(result.size)
    # Names that Keras numbers ("dense_9", "dense_10") and the alignment behind them.
    assert abs(sizes[0] - sizes[1]) <= 64


@pytest.mark.parametrize(
    "case", ["many_to_one", "many_to_many", "masked", "masked, zero outputs", "bidirectional"]
)
def test_tflite_micro_runs_the_same_file(case, tmp_path):
    from tflite_micro.python.tflite_micro import runtime

    make, data = MODELS[case]
    model, x = make(), data()
    result = kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8", calibration_data=x)
    interpreter = Interpreter(model_path=str(result.path), num_threads=1)
    interpreter.allocate_tensors()
    micro = runtime.Interpreter.from_file(str(result.path))
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    differences = []
    for sample in x:
        scale, zero_point = source["quantization"]
        sample = sample if scale == 0 else np.clip(np.round(sample / scale) + zero_point, -128, 127)
        sample = sample.astype(source["dtype"])[None]
        interpreter.set_tensor(source["index"], sample)
        interpreter.invoke()
        micro.set_input(sample, 0)
        micro.invoke()
        differences.append(micro.get_output(0).astype(int) - interpreter.get_tensor(target["index"]))
    # LiteRT's kernels and TFLM's reference kernels round a product differently once in a few hundred; a
    # recurrence carries such a step on.
    differences = np.abs(differences)
    assert differences.mean() <= 0.5
    assert differences.max() <= 8


def test_state_stays_accurate_over_many_steps(tmp_path):
    inputs = keras.Input((300, 8))
    model = kv.Model(inputs, kv.VanillaRNN(32, return_sequences=True)(inputs))
    x = random_data(20, 300, 8)
    kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=x)
    error = np.abs(kv.tflite.Runner(tmp_path / "m.tflite")(x) - model.predict(x, verbose=0))
    # Mean error of the state: the orthogonal kernel carries errors on undiminished but for tanh'.
    assert error[:, :50].mean() <= 0.015
    assert error[:, -50:].mean() <= 1.1 * error[:, 50:100].mean()


def test_undefined_time_dimension_takes_the_length_of_the_data(tmp_path):
    model = randomize(keras.Sequential([keras.Input((None, 4)), kv.VanillaRNN(6), layers.Dense(3)]))
    x = random_data(10, 11, 4)
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="float32", calibration_data=x)
    assert kv.tflite.verify(model, tmp_path / "m.tflite", x).max_error <= FLOAT_TOLERANCE


def test_float_input_of_an_embedding_becomes_integer(tmp_path):
    model = randomize(keras.Sequential([keras.Input((9,)), layers.Embedding(300, 5), kv.VanillaRNN(6)]))
    x = random_tokens(10, 9, 300).astype("float32")
    kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=x)
    detail = Interpreter(model_path=str(tmp_path / "m.tflite")).get_input_details()[0]
    assert detail["dtype"] == np.int32
    # One int8 step of the state is 1/128; a token read wrongly gives errors of the order of 1.
    assert kv.tflite.verify(model, tmp_path / "m.tflite", x).mean_error <= 2 / 128


def test_signature_names_inputs_and_outputs(tmp_path):
    result = kv.tflite.export(residual_with_two_outputs(), tmp_path / "m.tflite", quantization="float32")
    runner = kv.tflite.Runner(result.path)
    assert runner.inputs == ["motion"]
    assert runner.outputs[0] == "label"
    assert len(set(runner.outputs)) == 3
    assert result.signatures == {"serving_default": {"inputs": runner.inputs, "outputs": runner.outputs}}


def test_the_result_has_the_scales(tmp_path):
    result = kv.tflite.export(dense_front(), tmp_path / "m.tflite", calibration_data=random_data(10, 9, 4))
    (signals,) = result.scales.values()
    assert signals["h"].scale == 1 / 128
    assert signals["h"].zero_point == 0
    assert result.size == result.path.stat().st_size
    assert "WHILE 1" in str(result)


def test_exporting_changes_nothing_in_the_model(tmp_path):
    model, x = bidirectional(), random_tokens(10, 8, 20)
    before, config = model.predict(x, verbose=0), model.to_json()
    kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    assert model.to_json() == config
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras").predict(x, verbose=0), before)


def test_exports_from_several_threads_while_the_model_is_used(tmp_path):
    """Other threads must see neither the recurrences that an export replaces nor the layers in their plain forms."""
    model, x = bidirectional(), random_tokens(10, 8, 20)
    other = keras.Sequential([keras.Input((8, 3)), layers.LayerNormalization(), kv.VanillaRNN(4)])
    y = np.asarray(model(x))
    faults, finished = [], threading.Event()

    def caught(function, *arguments):
        try:
            function(*arguments)
        except Exception as error:  # whatever it is, it belongs to the test's thread
            faults.append(error)

    def export(k):
        quantization, data = ("int8", x) if k % 2 else ("float32", x)
        if k >= 4:
            data = random_data(10, 8, 3)
        kv.tflite.export(
            other if k >= 4 else model, tmp_path / str(k), quantization=quantization, calibration_data=data
        )

    def call():
        while not finished.is_set():
            np.testing.assert_allclose(model(x), y, atol=1e-6)  # rounding
            np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=1e-6)

    caller = threading.Thread(target=caught, args=(call,))
    exports = [threading.Thread(target=caught, args=(export, k)) for k in range(6)]
    for thread in (caller, *exports):
        thread.start()
    for thread in exports:
        thread.join()
    finished.set()
    caller.join()
    assert faults == []
    for k in range(4):
        report = kv.tflite.verify(model, tmp_path / str(k), x)
        assert report.mean_error <= (0.03 if k % 2 else FLOAT_TOLERANCE)
    assert not any({"inner_loop", "call"} & set(vars(layer)) for layer in interception.layers_of(model))


def test_a_replaced_method_is_seen_by_its_own_thread_only():
    layer = kv.VanillaRNN(2)
    seen = []

    def other_thread():
        seen.append(layer.compute_mask("x", "mask"))
        with interception.replaced(layer, "compute_mask", lambda *_: "other"):
            entered.set()
            release.wait()
            seen.append(layer.compute_mask("x", "mask"))

    own = layer.compute_mask("x", "mask")
    entered, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=other_thread)
    with interception.replaced(layer, "compute_mask", lambda *_: "outer"):
        with interception.replaced(
            layer, "compute_mask", lambda *_: f"inner, {layer.compute_mask('x', 'm')}"
        ):
            thread.start()
            entered.wait()
            assert layer.compute_mask("x", "mask") == "inner, outer"
        assert layer.compute_mask("x", "mask") == "outer"
    assert layer.compute_mask("x", "mask") == own
    release.set()
    thread.join()
    assert seen == [own, "other"]
    assert "compute_mask" not in vars(layer)

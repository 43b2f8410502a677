"""The exported file against Keras, in the real LiteRT and TFLite Micro interpreters."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.flatbuffer import ModelFile

# float32 rounding over at most 40 steps of sums of a few dozen terms.
FLOAT_TOLERANCE = 1e-5


def random_data(*shape):
    return np.random.default_rng(5).normal(size=shape).astype("float32")


def random_tokens(samples, timesteps, vocabulary, padded=True):
    rng = np.random.default_rng(6)
    x = rng.integers(1, vocabulary, (samples, timesteps), dtype=np.int32)
    if padded:
        for row in x:
            row[rng.integers(1, timesteps) :] = 0
    return x


def randomize(model, seed=7):
    """Random asymmetric weights, biases too; recurrent kernels scaled so that the state neither dies nor saturates."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        gain = 0.9 if "recurrent" in variable.path else 1.0
        variable.assign(rng.normal(scale=gain / np.sqrt(variable.shape[0]), size=variable.shape))
    return model


def dense_front(timesteps=9, **options):
    return randomize(
        kv.Sequential([keras.Input((timesteps, 4)), kv.VanillaRNN(6, **options), layers.Dense(3, "softmax")])
    )


def token_model(timesteps=12, padded=True, **options):
    return randomize(
        kv.Sequential(
            [
                keras.Input((timesteps,), dtype="int32"),
                layers.Embedding(20, 5, mask_zero=padded),
                kv.VanillaRNN(6, **options),
                layers.Dense(1, "sigmoid"),
            ]
        )
    )


def bidirectional():
    inputs = keras.Input((8,), dtype="int32")
    x = layers.Embedding(20, 5, mask_zero=True)(inputs)
    x = layers.Bidirectional(kv.VanillaRNN(6, return_sequences=True))(x)
    return randomize(kv.Model(inputs, layers.Dense(3)(kv.VanillaRNN(7)(x))))


def encoder_decoder():
    source = keras.Input((6, 4), name="source")
    target = keras.Input((5, 3), name="target")
    _, state = kv.VanillaRNN(6, return_state=True)(source)
    y = keras.layers.SimpleRNN(6, return_sequences=True)(target, initial_state=state)
    return randomize(kv.Model([source, target], layers.Dense(2, name="y")(y)))


def residual_with_two_outputs():
    inputs = keras.Input((7, 4), name="motion")
    x = layers.Dense(5, activation="relu")(inputs)
    sequence, state = kv.VanillaRNN(5, return_sequences=True, return_state=True)(x)
    x = layers.Add()([x, sequence])
    last = kv.VanillaRNN(4, go_backwards=True)(x, mask=None)
    return randomize(kv.Model(inputs, [layers.Dense(2, name="label")(last), state, sequence]))


MODELS = {
    "many_to_one": (dense_front, lambda: random_data(40, 9, 4)),
    "many_to_many": (lambda: dense_front(return_sequences=True), lambda: random_data(40, 9, 4)),
    "no bias": (lambda: dense_front(use_bias=False), lambda: random_data(40, 9, 4)),
    "backwards": (lambda: dense_front(go_backwards=True), lambda: random_data(40, 9, 4)),
    "relu": (lambda: dense_front(activation="relu"), lambda: random_data(40, 9, 4)),
    "sigmoid": (lambda: dense_front(activation="sigmoid"), lambda: random_data(40, 9, 4)),
    "linear": (lambda: dense_front(activation=None), lambda: random_data(40, 9, 4)),
    "masked": (token_model, lambda: random_tokens(40, 12, 20)),
    "masked many_to_many": (lambda: token_model(return_sequences=True), lambda: random_tokens(40, 12, 20)),
    "masked, zero outputs": (
        lambda: token_model(return_sequences=True, zero_output_for_mask=True),
        lambda: random_tokens(40, 12, 20),
    ),
    "bidirectional": (bidirectional, lambda: random_tokens(40, 8, 20)),
    "initial state, two inputs": (
        encoder_decoder,
        lambda: {"source": random_data(40, 6, 4), "target": random_data(40, 5, 3)},
    ),
    "residual, three outputs": (residual_with_two_outputs, lambda: random_data(40, 7, 4)),
    "nothing but recurrences": (
        lambda: randomize(
            keras.Sequential(
                [
                    keras.Input((9, 4)),
                    kv.VanillaRNN(6, return_sequences=True),
                    layers.SimpleRNN(5, return_sequences=True),
                ]
            )
        ),
        lambda: random_data(40, 9, 4),
    ),
}


@pytest.fixture(params=MODELS)
def model_and_data(request):
    make, data = MODELS[request.param]
    return make(), data()


def test_float32_equals_keras(model_and_data, tmp_path):
    model, x = model_and_data
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="float32")
    assert kv.tflite.verify(model, tmp_path / "m.tflite", x).max_error <= FLOAT_TOLERANCE


def test_int8_is_close_to_keras(model_and_data, tmp_path):
    model, x = model_and_data
    kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8", calibration_data=x)
    report = kv.tflite.verify(model, tmp_path / "m.tflite", x)
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


def test_int8_file_holds_no_float_and_no_foreign_operator(model_and_data, tmp_path):
    model, x = model_and_data
    result = kv.tflite.export(model, tmp_path / "m.tflite", quantization="int8", calibration_data=x)
    file = ModelFile(result.path.read_bytes())
    assert result.operators["WHILE"] == len(recurrent_graphs(file)) / 2
    assert not any(name.startswith("CUSTOM") for name in result.operators)
    types = {tensor.type for subgraph in file.model.subgraphs for tensor in subgraph.tensors}
    integers = {schema.TensorType.INT8, schema.TensorType.INT32, schema.TensorType.BOOL}
    assert types <= integers


@pytest.mark.parametrize("make", [dense_front, token_model], ids=["dense", "masked tokens"])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("quantization", ["float32", "int8"])
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


def test_result_tells_the_scales(tmp_path):
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


REFUSED = {
    "form": (dict(form="stream"), r"form='stream': expected one of 'sequence', 'unrolled', 'streaming'"),
    "quantization": (
        dict(quantization="int4"),
        r"quantization='int4': expected one of 'float32', 'float16', 'dynamic', 'int8', 'int16x8'",
    ),
    "no data": (dict(calibration_data=None), r"calibration_data: quantization='int8' needs inputs"),
    "empty": (
        dict(calibration_data=np.zeros((0, 9, 4))),
        r"calibration_data: it is empty \(shape \(0, 9, 4\)\)",
    ),
    "rank": (
        dict(calibration_data=np.zeros((9, 4))),
        r"expected the shape \(samples, 9, 4\), received \(9, 4\)",
    ),
    "shape": (dict(calibration_data=np.zeros((2, 9, 5))), r"expected the shape \(samples, 9, 4\)"),
    "NaN": (dict(calibration_data=np.full((2, 9, 4), np.nan)), r"calibration_data: it holds NaN"),
    "text": (dict(calibration_data=np.full((2, 9, 4), "a")), r"calibration_data: expected numbers"),
    "ragged": (dict(calibration_data=[[1.0], [1.0, 2.0]]), r"calibration_data: expected an array of shape"),
    "names": (dict(calibration_data={"y": np.zeros((2, 9, 4))}), r"calibration_data: expected the inputs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_arguments_are_refused_before_any_work(case, tmp_path):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(
            dense_front(), tmp_path / "m.tflite", **{"calibration_data": random_data(2, 9, 4)} | options
        )
    assert list(tmp_path.iterdir()) == []


def test_fractions_are_no_tokens(tmp_path):
    with pytest.raises(ValueError, match=r"expected integers, received fractions \(e.g. 0.5\)"):
        kv.tflite.export(token_model(), tmp_path / "m.tflite", calibration_data=np.full((2, 12), 0.5))


def unexportable(kind):
    inputs = keras.Input((9, 4))
    if kind == "no recurrence":
        return keras.Model(inputs, layers.Dense(3)(inputs))
    if kind == "stateful":
        inputs = keras.Input(batch_shape=(2, 9, 4))
        return keras.Model(inputs, kv.VanillaRNN(3, stateful=True)(inputs))
    if kind == "activation":
        return keras.Model(inputs, kv.VanillaRNN(3, activation="softplus")(inputs))
    if kind == "lstm":
        return keras.Model(inputs, layers.LSTM(3)(kv.VanillaRNN(3, return_sequences=True)(inputs)))
    if kind == "dtype":
        return keras.Model(inputs, kv.VanillaRNN(3, dtype="float64")(inputs))
    return keras.Sequential([kv.VanillaRNN(3)])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no recurrence", "holds no VanillaRNN or SimpleRNN layer"),
        ("stateful", "is stateful, but form='sequence'"),
        ("activation", "has activation 'softplus'; the recurrence can be exported with tanh"),
        ("lstm", "it holds a loop besides its vanilla RNN layers"),
        ("dtype", "computes in float64; only float32 models"),
        ("unbuilt", "expected a built functional or Sequential Keras model"),
    ],
)
def test_unsupported_models_are_refused_with_the_reason(kind, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        kv.tflite.export(unexportable(kind), tmp_path / "m.tflite", calibration_data=random_data(4, 9, 4))
    assert list(tmp_path.iterdir()) == []


def test_undefined_time_dimension_without_data_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, 4), name="x"), kv.VanillaRNN(3)])
    with pytest.raises(ValueError, match=r"input 'x' has the undefined shape \(None, None, 4\)"):
        kv.tflite.export(model, tmp_path / "m.tflite", quantization="float32")


def test_float_tokens_inside_a_nested_model_are_refused(tmp_path):
    inner = keras.Sequential([keras.Input((9,)), layers.Embedding(30, 4)])
    inputs = keras.Input((9,), name="tokens")
    model = keras.Model(inputs, kv.VanillaRNN(3)(inner(inputs)))
    with pytest.raises(
        ValueError, match=r"input 'tokens' is declared float32, but the model reads it as integers"
    ):
        kv.tflite.export(model, tmp_path / "m.tflite", calibration_data=random_tokens(4, 9, 30))


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        kv.tflite.export(dense_front(), path, quantization="float32")
    assert path.read_text() == "precious"
    kv.tflite.export(dense_front(), path, quantization="float32", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.tflite"]


def test_a_file_that_does_not_run_is_not_left_behind(tmp_path, monkeypatch):
    # The only way to a broken file is a fault of our own, so one is made: an operator that no runtime knows.
    pack = ModelFile.pack

    def broken(self):
        self.model.operatorCodes[0].customCode = b"none"
        self.model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        self.model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        return pack(self)

    monkeypatch.setattr(ModelFile, "pack", broken)
    with pytest.raises(ValueError, match="not a TFLite model with one signature"):
        kv.tflite.export(dense_front(), tmp_path / "m.tflite", quantization="float32")
    assert list(tmp_path.iterdir()) == []

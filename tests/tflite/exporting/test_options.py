"""Types at the edges, states inside the interpreter, batches, calibration by percentile, what the file says."""

import contextlib
import dataclasses
import inspect

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from exported_models import dense_front, random_data, random_tokens, randomize, token_model
from keras import layers

import keras_vrnn as kv
from keras_vrnn.tflite.exporting.options import Options
from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

X = random_data(24, 10, 4)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((10, 4), name="x")
    x = kv.VanillaRNN(6, return_sequences=True, activation="relu", name="first")(layers.Dense(5)(inputs))
    return randomize(kv.Model(inputs, layers.Dense(3, name="y")(kv.VanillaRNN(7, name="second")(x))))


REFUSED = {
    "chunk of a sequence": ({"chunk": 2}, "`chunk` must be 1 with form='sequence'"),
    "no chunk": ({"form": "streaming", "chunk": 0}, "`chunk` must be a positive integer"),
    "a maximum of one length": ({"timesteps": 3, "max_timesteps": 4}, "`max_timesteps` must be left out"),
    "a maximum of the data's length": ({"max_timesteps": 4}, "`max_timesteps` must be left out"),
    "any length unrolled": (
        {"form": "unrolled", "timesteps": None},
        "`timesteps` must be left out.*sequence",
    ),
    "a streamed length": ({"form": "streaming", "timesteps": 5}, "`timesteps` must be left out.*`chunk`"),
    "no steps": ({"timesteps": 0}, "`timesteps` must be a positive integer"),
    "form": (
        dict(form="stream"),
        "`form` must be one of 'sequence', 'unrolled', 'streaming'. Received: form='stream'",
    ),
    "quantization": (
        dict(quantization="int4"),
        "`quantization` must be one of 'float32', 'float16', 'dynamic', 'int8', 'int8x4', 'int16x8'. Received",
    ),
    "io": (
        dict(io="int16"),
        r"`io` must be 'int8' \(the default\) or 'float32' with quantization='int8'. Received: io='int16'",
    ),
    "io of floats": (
        dict(io="int8", quantization="float16"),
        "`io` must be 'float32' with quantization='float16'. Received: io='int8'",
    ),
    "state": (
        dict(state="outside"),
        "`state` must be one of 'explicit', 'internal'. Received: state='outside'",
    ),
    "state of a sequence": (dict(state="internal"), "`state` must be 'explicit' with form='sequence'"),
    "batch": (dict(batch_size=0), "`batch_size` must be a positive integer. Received: batch_size=0"),
    "batch of a flag": (dict(batch_size=True), "`batch_size` must be a positive integer. Received"),
    "calibration": (dict(calibration="max"), "`calibration` must be one of 'minmax', 'percentile'. Received"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_options_are_refused_before_any_work(case, tmp_path):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        kv.tflite.export("no model", tmp_path / "m", **options)
    assert list(tmp_path.iterdir()) == []


def options_of(**given):
    """The options of an export that leaves out the others."""
    parameters = inspect.signature(kv.tflite.export).parameters
    names = [field.name for field in dataclasses.fields(Options)]
    return Options(**{name: parameters[name].default for name in names} | given)


def test_what_follows_from_the_options():
    options = options_of(form="streaming", quantization="int16x8", state="internal")
    assert (options.integer, options.streaming, options.unrolled) == (True, True, True)
    assert options.scheme.dtype == np.int16
    options = options_of(quantization="dynamic", io="float32", batch_size=2, calibration="percentile")
    assert (options.integer, options.streaming, options.unrolled) == (False, False, False)


def micro(path):
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_file(str(path), arena_size=200_000)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_float_edges_give_what_integer_edges_give(model, quantization, tmp_path):
    for io in (None, "float32"):
        options = dict(quantization=quantization, calibration_data=X, io=io)
        kv.tflite.export(model, tmp_path / str(io), **options)
    detail = Interpreter(model_path=str(tmp_path / "float32")).get_input_details()[0]
    assert detail["dtype"] == np.float32
    a, b = (kv.tflite.Runner(tmp_path / io)(X) for io in ("None", "float32"))
    np.testing.assert_allclose(a, b, rtol=1e-6)  # one float32 multiplication
    interpreter = micro(tmp_path / "float32")
    interpreter.set_input(X[:1], 0)
    interpreter.invoke()
    # TFLite Micro's kernels round a product differently now and then; see test_tflite_export.
    assert np.abs(interpreter.get_output(0)[0] - b[0]).max() <= 0.05 * np.ptp(b)


@pytest.mark.parametrize("quantization", ["float32", "dynamic", "int8", "int16x8"])
def test_internal_state_streams_as_explicit_state_does(model, quantization, tmp_path):
    for state in ("explicit", "internal"):
        options = dict(form="streaming", quantization=quantization, calibration_data=X, state=state)
        result = kv.tflite.export(model, tmp_path / state, **options)
    assert result.signatures == {
        "serving_default": {"inputs": ["x"], "outputs": ["y"]},
        "reset": {"inputs": [], "outputs": []},
    }
    explicit, internal = (kv.tflite.Runner(tmp_path / state) for state in ("explicit", "internal"))
    expected = explicit(X[:3])
    np.testing.assert_array_equal(internal(X[:3]), expected)  # which starts each sequence from zero
    for sample, outputs in zip(X[:3], expected, strict=True):
        np.testing.assert_array_equal(np.stack([internal.step(x_t) for x_t in sample]), outputs)
        internal.reset()


def test_internal_state_starts_from_zero_without_a_reset(model, tmp_path):
    path = tmp_path / "m"
    kv.tflite.export(
        model, path, form="streaming", quantization="float32", calibration_data=X, state="internal"
    )
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source, target = (
        d()[0]["index"] for d in (interpreter.get_input_details, interpreter.get_output_details)
    )
    for x_t in X[0]:
        interpreter.set_tensor(source, x_t[None, None])
        interpreter.invoke()
    # float32 rounding of two orders of summation
    np.testing.assert_allclose(interpreter.get_tensor(target), model.predict(X[:1], verbose=0), atol=1e-5)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("state", ["explicit", "internal"])
def test_a_thousand_steps_in_tflite_micro_are_the_sequence(quantization, state, tmp_path):
    steps = 1000
    x = random_data(2, steps, 3)
    inputs = keras.Input((steps, 3), name="x")
    model = keras.Model(inputs, kv.VanillaRNN(5, return_sequences=True)(inputs))
    options = dict(quantization=quantization, calibration_data=x)
    kv.tflite.export(model, tmp_path / "sequence", **options)
    kv.tflite.export(model, tmp_path / "stream", form="streaming", state=state, **options)
    detail = Interpreter(model_path=str(tmp_path / "sequence")).get_input_details()[0]
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    integers = np.clip(np.round(x / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])
    whole, stream = micro(tmp_path / "sequence"), micro(tmp_path / "stream")
    whole.set_input(integers[:1], 0)
    whole.invoke()

    def run():
        outputs = []
        h = np.zeros((1, 5), detail["dtype"])
        for t in range(steps):
            stream.set_input(integers[:1, t : t + 1], 0)
            if state == "explicit":
                stream.set_input(h, 1)
            stream.invoke()
            outputs.append(stream.get_output(0)[0, 0])
            h = stream.get_output(1) if state == "explicit" else None
        return np.stack(outputs)

    first = run()
    np.testing.assert_array_equal(first, whole.get_output(0)[0])
    if state == "internal":
        stream.reset()
    np.testing.assert_array_equal(run(), first)


@pytest.mark.parametrize("form", ["sequence", "streaming"])
@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_a_batch_gives_what_single_samples_give(model, form, quantization, tmp_path):
    outputs = []
    for batch_size in (1, 5):  # of 24 samples: the last batch is not full
        options = dict(form=form, quantization=quantization, calibration_data=X, batch_size=batch_size)
        kv.tflite.export(model, tmp_path / str(batch_size), **options)
        outputs.append(kv.tflite.Runner(tmp_path / str(batch_size))(X))
    assert outputs[0].shape == outputs[1].shape
    # Kernels for more rows sum in another order (float32), or round a product elsewhere once in a few hundred.
    assert np.abs(outputs[0] - outputs[1]).mean() <= (1e-6 if quantization == "float32" else 0.005) * np.ptp(
        outputs[0]
    )


def test_masks_in_a_batch(tmp_path):
    x = random_tokens(9, 12, 20)
    model = token_model(return_sequences=True)
    kv.tflite.export(model, tmp_path / "m", quantization="float32", batch_size=4)
    # float32 rounding over 12 steps
    assert kv.tflite.verify(model, tmp_path / "m", x).max_error <= 1e-5


def test_percentiles_keep_outliers_from_the_scales(tmp_path):
    x = random_data(400, 10, 4)
    x[0, 0, 0] = 1000.0  # one of 16,000
    model, errors = dense_front(10), []
    for calibration in ("minmax", "percentile"):
        with contextlib.ExitStack() as stack:
            if calibration == "minmax":
                stack.enter_context(pytest.warns(kv.tflite.AccuracyWarning, match="calibration='percentile'"))
            options = dict(calibration=calibration, max_error=1.0)
            kv.tflite.export(model, tmp_path / calibration, calibration_data=x, **options)
        errors.append(kv.tflite.verify(model, tmp_path / calibration, x[1:]).mean_error)
    # With minmax one step of the input is 1000/255, four times its standard deviation.
    assert errors[1] < 0.1 * errors[0]


def test_constant_inputs_can_be_calibrated_on(tmp_path):
    model = dense_front()
    kv.tflite.export(model, tmp_path / "m", calibration_data=np.zeros((3, 9, 4)))
    # All scales are those of zeros and biases: the output on zeros is right, to one step of softmax and those before.
    report = kv.tflite.verify(model, tmp_path / "m", np.zeros((3, 9, 4)))
    assert report.max_error <= 0.03


def test_one_sample_is_enough_to_calibrate(tmp_path):
    model, x = dense_front(), random_data(1, 9, 4)
    kv.tflite.export(model, tmp_path / "m", calibration_data=x)
    assert kv.tflite.verify(model, tmp_path / "m", x).mean_error <= 0.03


def test_the_file_says_what_it_is_and_needs(tmp_path):
    kv.tflite.export(dense_front(return_sequences=True), tmp_path / "m", calibration_data=X[:, :9])
    file = ModelFile((tmp_path / "m").read_bytes())
    assert file.model.description.decode() == f"keras-vrnn {kv.__version__}"
    entries = {entry.name: entry for entry in file.model.metadata}
    entry = entries.pop(b"min_runtime_version")
    assert len(entries) == 1, "the digest"
    # DYNAMIC_UPDATE_SLICE came with TensorFlow 2.9.
    assert bytes(file.model.buffers[entry.buffer].data) == b"2.9.0".ljust(16, b"\0")


def test_data_of_constants_lies_where_a_microcontroller_can_read_it(tmp_path):
    path = tmp_path / "m"
    kv.tflite.export(dense_front(), path, calibration_data=X[:, :9])
    content = path.read_bytes()
    for buffer in ModelFile(content).model.buffers:
        if buffer.data is not None and len(buffer.data) >= 16:
            assert content.index(np.asarray(buffer.data, np.uint8).tobytes()) % 16 == 0


def test_nothing_is_stored_twice(tmp_path):
    layer = kv.VanillaRNN(32, name="shared")
    a, b = keras.Input((9, 4), name="a"), keras.Input((9, 4), name="b")
    one = keras.Model(a, layer(a))
    two = keras.Model([a, b], [layer(a), layer(b)])
    sizes = [
        kv.tflite.export(model, tmp_path / str(k), quantization="float32").size
        for k, model in enumerate((one, two))
    ]
    assert sizes[1] - sizes[0] < layer.count_params() * 4


@pytest.mark.parametrize("layers_", [1, 2, 3])
def test_overhead_beside_the_parameters(layers_, tmp_path):
    x = inputs = keras.Input((16, 10), name="x")
    for k in range(layers_):
        x = kv.VanillaRNN(64, return_sequences=k < layers_ - 1, name=f"rnn{k}")(x)
    model = keras.Model(inputs, layers.Dense(4, "softmax", name="y")(x))
    result = kv.tflite.export(model, tmp_path / "m", calibration_data=random_data(8, 16, 10))
    parameters = sum(
        v.numpy().size * (1 if len(v.shape) > 1 else 4) for v in model.weights
    )  # int8, biases int32
    # The digest takes 100 bytes.
    assert result.size <= parameters + 6100 + 2000 * (layers_ - 1)

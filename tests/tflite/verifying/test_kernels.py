"""Where LiteRT differs from TFLite Micro, against differences computed here; interpreter and simulation must agree."""

import json

import keras
import numpy as np
import pytest

import keras_vrnn as kv
from keras_vrnn.tflite.micro import interpreter
from keras_vrnn.tflite.running.simulator import Simulator
from keras_vrnn.tflite.verifying import kernels

X = np.random.default_rng(0).normal(size=(70, 40, 3)).astype("float32")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model with a sequence and a state as outputs, and its files by form."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((40, 3), name="x")
    h, state = kv.VanillaRNN(16, return_sequences=True, return_state=True)(inputs)
    whole = keras.Model(inputs, [keras.layers.Dense(4, "softmax", name="y")(h), state])
    stream = keras.Model(inputs, keras.layers.Dense(4, name="y")(h))
    folder, made = tmp_path_factory.mktemp("kernels"), {}
    for quantization in ("int8", "int16x8"):
        for form, model in (("sequence", whole), ("streaming", stream)):
            path = folder / f"{form}_{quantization}.tflite"
            kv.tflite.export(model, path, quantization=quantization, calibration_data=X, form=form)
            made[form, quantization] = model, path
    kv.tflite.export(stream, folder / "float.tflite", quantization="float32")
    made["float"] = stream, folder / "float.tflite"
    return made


def by_hand(a, b, scale):
    """(values, different, largest in steps, first step) of two arrays (samples, time, ...)."""
    steps = np.rint(np.abs(a - b) / scale)
    first = next((t + 1 for t in range(a.shape[1]) if steps[:, t].any()), None)
    return a.size, int((steps != 0).sum()), steps.max(), first


@pytest.mark.skipif(not interpreter.is_installed(), reason="needs the extra 'micro'")
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_differences_of_outputs_and_states(files, quantization):
    model, path = files["sequence", quantization]
    report = kv.tflite.verify(model, path, X, micro=True)
    runner, micro = kv.tflite.Runner(path), interpreter.MicroRunner(path)
    ours, theirs = runner(X), micro(X)
    assert list(report.kernels) == runner.outputs
    for name, found in report.kernels.items():
        scale = runner.details[name]["quantization"][0]
        with_time = [o[name] if o[name].ndim > 2 else o[name][:, None] for o in (ours, theirs)]
        values, different, largest, first = by_hand(*with_time, scale)
        assert (found.values, found.different, found.largest) == (values, different, largest)
        assert found.first_step == (first if ours[name].ndim > 2 else None)
        assert f"LiteRT against TFLite Micro, {name}: {found}" in str(report)
    assert any(found.different for found in report.kernels.values())  # XNNPACK rounds in its own way
    assert report.micro_note == "run by tflite-micro, to which the simulation is equal"
    measures = json.loads(report.to_json())["kernels"]
    assert measures[runner.outputs[0]]["share"] == report.kernels[runner.outputs[0]].share


@pytest.mark.parametrize("installed", [True, False])
def test_states_of_a_streaming_file(files, installed, monkeypatch):
    if installed and not interpreter.is_installed():
        pytest.skip("needs the extra 'micro'")
    model, path = files["streaming", "int8"]
    monkeypatch.setattr(interpreter, "is_installed", lambda: installed)
    x = X[:4]
    report = kv.tflite.verify(model, path, x, micro=True)
    runner = kv.tflite.Runner(path)
    (state,) = runner.state
    assert list(report.kernels) == [*runner.outputs, state]
    histories = []
    for each in (kv.tflite.Runner(path), Simulator(path)):
        made = []
        for row in x:
            each.reset()
            made.append([(each.step(x_t), each.state[state][0])[1] for x_t in row])
        histories.append(np.array(made))
    found = report.kernels[state]
    assert (found.values, found.different, found.largest, found.first_step) == by_hand(
        *histories, runner.details[state]["quantization"][0]
    )
    assert ("not installed" in report.micro_note) == (not installed)
    (output,) = report.micro.values()
    assert output.max_error == np.abs(Simulator(path)(x) - model.predict(x, verbose=0)).max()


@pytest.mark.skipif(not interpreter.is_installed(), reason="needs the extra 'micro'")
def test_a_disagreement_is_an_error(files, monkeypatch):
    class Wrong(Simulator):
        def __call__(self, x):
            made = super().__call__(x)
            name = self.outputs[0]
            made[name][0, 0, 0] += self.details[name]["quantization"][0]
            return made

    monkeypatch.setattr(kernels, "Simulator", Wrong)
    model, path = files["sequence", "int8"]
    with pytest.raises(ValueError, match=r"must give the same integers. Received: .* differs in 1 of 640"):
        kv.tflite.verify(model, path, X[:4], micro=True)


def test_float_files_have_no_simulation(files, monkeypatch):
    model, path = files["float"]
    if interpreter.is_installed():
        report = kv.tflite.verify(model, path, X[:3], micro=True)
        assert report.micro_note.startswith("run by tflite-micro alone")
        assert "the file computes FULLY_CONNECTED in float32" in report.micro_note
        (found,) = report.kernels.values()
        assert found.scale is None
    monkeypatch.setattr(interpreter, "is_installed", lambda: False)
    with pytest.raises(ValueError, match="must be a file that the simulation can run"):
        kv.tflite.verify(model, path, X[:3], micro=True)


def test_equal_values_have_no_first_step():
    detail = {"quantization": (0.5, 3)}
    a = np.zeros((2, 5, 3), np.float32)
    equal = kernels._difference(a, a, detail, True)
    assert str(equal) == "all 30 values equal"
    b = a.copy()
    b[1, 2, 0], b[0, 4, 1] = 1.0, -0.5
    found = kernels._difference(a, b, detail, True)
    assert str(found) == "6.67% of 30 values differ, by at most 2 steps of 0.5, first at step 3"

"""Random models in every form and number format: each works, or is refused with the reason; none crashes."""

import warnings

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from random_models import draw

import keras_vrnn as kv
from keras_vrnn.quantization.schemes import SCHEMES

# Mean error relative to the range of an output, beyond one step of its scale. float32: rounding, largest error, not
# mean. float16: 11 bits of weights. The others: int8 weights, and with int8 signals too, through up to six recurrences
# and what stands around them; a value read with a wrong scale, order or mask gives 0.2 and more. int8x4: 4-bit weights.
BARS = {"float32": 1e-4, "float16": 1e-2, "dynamic": 0.08, "int8": 0.12, "int8x4": 0.15, "int16x8": 0.08}
# Why a pair may be refused; anything else is a fault.
REASONS = (
    "can't be exported with form='streaming'",  # looks around in time
    "takes its initial state from another layer",
    "for which there is no int16 operator",
    "that the TFLite converter takes with quantization='int16x8'",  # e.g. ELU
)


def errors(expected, actual, largest):
    """Of each output the error relative to its range."""
    measure = np.max if largest else np.mean
    return [measure(np.abs(a - e)) / max(np.ptp(e), 1e-3) for e, a in zip(expected, actual, strict=True)]


def check(seed, folder, forms, quantizations):
    model, x, description = draw(seed)
    y = keras.tree.flatten(model.predict(x, verbose=0))
    refused = 0
    for form in forms:
        for quantization in quantizations:
            path = folder / f"{seed}_{form}_{quantization}"
            try:
                result = kv.tflite.export(
                    model, path, form=form, quantization=quantization, calibration_data=x
                )
            except ValueError as error:
                if not any(reason in str(error) for reason in REASONS):
                    raise
                assert not path.exists()
                refused += 1
                continue
            assert not any(name.startswith(("CUSTOM", "Flex")) for name in result.operators), description
            made = keras.tree.flatten(kv.tflite.Runner(path)(x))
            if form == "streaming":  # what is given once a sequence is compared at its last step
                made = [a if a.ndim == e.ndim else a[:, -1] for a, e in zip(made, y, strict=True)]
            found = errors(y, made, largest=quantization == "float32")
            details = Interpreter(model_path=str(path)).get_output_details()
            for error, detail, output in zip(found, details, y, strict=False):  # states come last
                step = detail["quantization"][0] / max(np.ptp(output), 1e-3)
                assert error <= BARS[quantization] + step, f"{description}; {form}, {quantization}: {found}"
    return refused


@pytest.fixture(autouse=True)
def quiet():
    """Keras warns of masks that end at a Flatten, TensorFlow of a division by no steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("seed", range(6))
def test_random_models(seed, tmp_path):
    check(seed, tmp_path, ["sequence", "streaming"], ["float32", "int8", "int16x8"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 14))
def test_more_random_models(seed, tmp_path):
    check(seed, tmp_path, ["sequence", "unrolled", "streaming"], SCHEMES)


def test_the_bars_notice_a_wrong_recurrence(tmp_path):
    model, x, _ = draw(4)
    kv.tflite.export(model, tmp_path / "m", quantization="float32", calibration_data=x)
    made = keras.tree.flatten(kv.tflite.Runner(tmp_path / "m")(x))
    for variable in model.weights:
        if "recurrent_kernel" in variable.path:
            variable.assign(np.transpose(variable.numpy()))
    y = keras.tree.flatten(model.predict(x, verbose=0))
    assert max(errors(y, made, largest=False)) > BARS["int8"]

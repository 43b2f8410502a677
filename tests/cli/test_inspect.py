"""`keras-vrnn inspect`: output, required runtimes, refusals."""

import json

import pytest
import tensorflow as tf
from stock_files import convert

from keras_vrnn.cli.status import MISSED


def test_output_as_json(run):
    result = run("inspect", "good.tflite", "--json", "--require", "micro")
    assert (result.returncode, json.loads(result.stdout)["flex"]) == (0, False)


def test_required_runtimes(main, capsys, folder):
    assert main(["export", "m.keras", "f.tflite", "--quantization", "float16", "--overwrite"]) == 0
    assert main(["inspect", "f.tflite", "--require", "litert"]) == 0
    assert main(["inspect", "f.tflite", "--require", "micro"]) == MISSED
    assert "inspect: not for micro: DEQUANTIZE: TFLite Micro does not take FLOAT16" in capsys.readouterr().err
    convert(folder / "flex.tflite", tf.tan, tf.TensorSpec((2,)), select=True)
    assert main(["inspect", "flex.tflite", "--require", "litert"]) == MISSED
    assert "inspect: not for litert: CUSTOM:FlexTan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("cut.tflite", "path='cut.tflite', which is"),
        ("text.txt", "must be a TFLite model. Received: path='text.txt'"),
        ("none.tflite", "must be a file that exists. Received: path='none.tflite'"),
    ],
)
def test_bad_input_is_one_line(file, message, refused):
    assert message in refused(["inspect", file])

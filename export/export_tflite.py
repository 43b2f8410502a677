"""From a trained Keras model to a verified `.tflite` file: a script to copy and change.

    python export_tflite.py model.keras model.tflite --data test.npz

The same without a script: `keras-vrnn export` and `keras-vrnn verify`.
"""

import argparse
import sys

import keras
import numpy as np

import keras_vrnn as kv

# How many samples determine the scales; the others show whether these scales suit new data.
CALIBRATION_SAMPLES = 200


def main(arguments=None):
    """Exports and verifies; returns the exit status: 0 done, 1 too far from Keras, 2 refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="the .keras file")
    parser.add_argument("tflite", help="the .tflite file to write")
    parser.add_argument(
        "--data", required=True, help="an .npz file with inputs x and, if available, labels or targets y"
    )
    parser.add_argument("--form", default="sequence", choices=["sequence", "unrolled", "streaming"])
    parser.add_argument(
        "--quantization", default="int8", help="int8, int8x4, int16x8, dynamic, float16 or float32"
    )
    parser.add_argument(
        "--min-agreement", type=float, default=0.98, help="share of equal predictions (default 0.98)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the .tflite file if it exists")
    options = parser.parse_args(arguments)
    try:
        with np.load(options.data) as data:
            x, y = data["x"], data.get("y")
        model = keras.models.load_model(options.model)
        result = kv.tflite.export(
            model,
            options.tflite,
            form=options.form,
            quantization=options.quantization,
            calibration_data=x[:CALIBRATION_SAMPLES],
            overwrite=options.overwrite,
        )
        report = kv.tflite.verify(model, options.tflite, x, y)
    except (ValueError, KeyError, OSError) as error:
        print("export_tflite.py:", str(error).replace("overwrite=True", "--overwrite"), file=sys.stderr)
        return 2
    print(result, report, sep="\n")
    return 1 if report.agreement is not None and report.agreement < options.min_agreement else 0


if __name__ == "__main__":
    sys.exit(main())

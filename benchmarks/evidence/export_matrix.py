"""Every cell, form and number format that `export` offers, for three models, and TensorFlow's converter beside it.

The converter runs in a process of its own, because it crashes on some of them.
"""

import contextlib
import io
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

import keras
import numpy as np

import keras_vrnn as kv
from benchmarks.evidence.experiment import Experiment, Table
from benchmarks.evidence.learning import CELLS as TRAINED

STEPS, FEATURES, UNITS, SAMPLES = 20, 4, 16, 64
CELLS = {"tanh": "tanh, orthogonal", "ReLU": "IRNN", "FastRNN": "FastRNN", "GRU": "GRU", "LSTM": "LSTM"}
FORMS = ("sequence", "unrolled", "streaming")
FORMATS = ("float32", "float16", "dynamic", "int8", "int16x8")
MODELS = ("last output", "all outputs, two layers")
PEERS = ("SimpleRNN", "GRU", "LSTM")
# Batch size, `unroll`, and the number format.
STOCK = {
    "open batch size, float32": (None, False, "float32"),
    "loop, float32": (1, False, "float32"),
    "loop, int8": (1, False, "int8"),
    "unrolled, int8": (1, True, "int8"),
}


def parts(quick):
    if quick:
        return {"tanh": ("ours", "tanh"), "stock SimpleRNN": ("stock", "SimpleRNN")}
    return {cell: ("ours", cell) for cell in CELLS} | {f"stock {peer}": ("stock", peer) for peer in PEERS}


def measure(whose, name, *, seed, quick):
    if whose == "stock":
        return {way: converted(name, *how) for way, how in list(STOCK.items())[: 3 if quick else None]}
    found = {}
    for model in MODELS[: 1 if quick else None]:
        built = build(name, model, seed)
        for form in FORMS:
            for number_format in FORMATS:
                found[f"{model}, {form}, {number_format}"] = exported(built, form, number_format)
    return found


def build(cell, kind, seed):
    """Returns a model with random weights."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    layer = TRAINED[CELLS[cell]]
    x = inputs = keras.Input((STEPS, FEATURES))
    two = kind != "last output"
    for _ in range(2 if two else 1):
        x = layer(UNITS, return_sequences=two)(x)
    return kv.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def exported(model, form, number_format):
    """Bytes of the file, its largest difference from Keras, and whether TFLite Micro has all its operators."""
    x = np.random.default_rng(1).normal(size=(SAMPLES, STEPS, FEATURES)).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.tflite"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                kv.tflite.export(
                    model,
                    path,
                    form=form,
                    quantization=number_format,
                    calibration_data=_needed(number_format, x),
                )
        except Exception as error:  # what it says is the result
            return {"error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        expected = model.predict(x, verbose=0)
        made = kv.tflite.Runner(path)(x)
        if made.ndim > expected.ndim:  # a stream has an output at every step
            made = made[:, -1]
        return {
            "bytes": path.stat().st_size,
            "difference": float(np.abs(made - expected).max()),
            "micro": not kv.tflite.inspect(path).micro_reasons,
        }


def _needed(number_format, x):
    return x if number_format in ("int8", "int16x8") else None


def converted(kind, batch, unroll, number_format):
    """What becomes of TensorFlow's converter: the bytes of its file, or how it ended."""
    command = [sys.executable, "-m", __name__, json.dumps([kind, batch, unroll, number_format])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return {"bytes": int(done.stdout.splitlines()[-1])}
    if done.returncode < 0:
        return {"error": f"process ended by {signal.Signals(-done.returncode).name}"}
    errors = [line.split(":")[0] for line in done.stderr.splitlines() if "Error" in line.split(":")[0]]
    return {"error": errors[-1].rpartition(".")[2] if errors else f"exit status {done.returncode}"}


def stock(kind, batch, unroll, number_format):
    """Converts a model with TensorFlow's converter; returns the bytes of its file."""
    import tensorflow as tf

    layer = getattr(keras.layers, kind)(UNITS, unroll=unroll)
    shape = (batch, STEPS, FEATURES)
    model = keras.Sequential(
        [keras.Input(batch_shape=shape), layer, keras.layers.Dense(3, activation="softmax")]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if number_format != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        x = np.random.default_rng(1).normal(size=(SAMPLES, 1, STEPS, FEATURES)).astype("float32")
        converter.representative_dataset = lambda: ([sample] for sample in x)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return len(converter.convert())


def tables(figures):
    head = ["cell", "form", *FORMATS]
    for kind in MODELS:
        rows = [
            [cell, form, *(_cell(_of(figures, cell).get(f"{kind}, {form}, {each}")) for each in FORMATS)]
            for cell in CELLS
            for form in FORMS
        ]
        yield Table(head, rows, f"{kind[0].upper()}{kind[1:]}: bytes, largest difference from Keras.")
    rows = [[peer, *(_cell(_of(figures, f"stock {peer}").get(way)) for way in STOCK)] for peer in PEERS]
    yield Table(["layer", *STOCK], rows, "TensorFlow's converter, last output: bytes, or how it ended.")


def _of(figures, part):
    return figures.get(part, {}).get("0", {})


def _cell(found):
    if found is None:
        return "missing"
    if "error" in found:
        return found["error"]
    difference = f", {found['difference']:.1g}" if "difference" in found else ""
    return f"{found['bytes']:,}{difference}"


def reading(figures):
    ours = [each for cell in CELLS for each in _of(figures, cell).values()]
    made = [each for each in ours if "error" not in each]
    if ours:
        micro = sum(each["micro"] for each in made)
        yield f"{len(made)} of {len(ours)} combinations export; TFLite Micro runs {micro} of the files."
    for number_format in ("int8", "int16x8"):
        largest = {cell: _largest(_of(figures, cell), number_format) for cell in CELLS}
        found = "; ".join(f"{cell} {value:.2g}" for cell, value in largest.items() if value is not None)
        yield f"Largest difference at {number_format}: {found}."


def _largest(found, number_format):
    differences = [
        each["difference"]
        for name, each in found.items()
        if name.endswith(f", {number_format}") and "error" not in each
    ]
    return max(differences, default=None)


EXPERIMENT = Experiment(
    name="export_matrix",
    title="Export",
    claim="Every cell exports in every form and number format; TensorFlow's converter writes no integer loop.",
    setting=(
        f"Random weights, {FEATURES} features, {UNITS} units, {STEPS} steps, a softmax of 3 classes; the difference is "
        f"the largest of a probability over {SAMPLES} sequences. float32 and float16 files differ by rounding."
    ),
    parts=parts,
    measure=measure,
    tables=tables,
    reading=reading,
    seeds=(0,),
)

if __name__ == "__main__":
    print(stock(*json.loads(sys.argv[1])))

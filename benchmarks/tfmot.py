"""What tensorflow-model-optimization does with Keras 3 models, and runtimes with its sparse weights."""

import contextlib
import io
import zlib

import numpy as np


def tfmot():
    """What each part returns or raises; a line per part and kind of model."""
    import keras
    import tensorflow as tf

    from keras_vrnn.compression import schedules

    module = schedules._tfmot()
    import tf_keras

    models = {
        "Keras 3 Dense": lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)]),
        "Keras 3 SimpleRNN": lambda: keras.Sequential([keras.Input((5, 4)), keras.layers.SimpleRNN(8)]),
        "tf_keras Dense": lambda: tf_keras.Sequential([tf_keras.Input((4,)), tf_keras.layers.Dense(8)]),
        "tf_keras SimpleRNN": lambda: tf_keras.Sequential(
            [tf_keras.Input((5, 4)), tf_keras.layers.SimpleRNN(8)]
        ),
        "tf_keras GRU": lambda: tf_keras.Sequential([tf_keras.Input((5, 4)), tf_keras.layers.GRU(8)]),
        "tf_keras LSTM": lambda: tf_keras.Sequential([tf_keras.Input((5, 4)), tf_keras.layers.LSTM(8)]),
    }
    clustering = {
        "number_of_clusters": 4,
        "cluster_centroids_init": module.clustering.keras.CentroidInitialization.LINEAR,
    }
    calls = {
        "quantize_model": module.quantization.keras.quantize_model,
        "prune_low_magnitude": module.sparsity.keras.prune_low_magnitude,
        "cluster_weights": lambda model: module.clustering.keras.cluster_weights(model, **clustering),
    }
    print("| part | model | result |\n|---|---|---|")
    for part, call in calls.items():
        for kind, make in models.items():
            try:
                result = type(call(make())).__name__
            except Exception as error:  # whatever it raises is the result
                result = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:110]}"
            print(f"| `{part}` | {kind} | {result} |", flush=True)
    step = tf.constant(50)
    decay = module.sparsity.keras.PolynomialDecay(0.0, 0.8, 0, 100, frequency=10)
    print(f"| `PolynomialDecay` | none | {[float(value) for value in decay(step)]} |")
    sparse_files()


def sparse_files():
    """The converter's own encoding of sparse weights: a Dense layer, 80 % zero in blocks of four, 256 → 256."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(256)])
    kernel = np.random.default_rng(0).normal(size=(256, 256))
    score = np.abs(kernel.T).reshape(256, 64, 4).mean(axis=-1, keepdims=True)
    kept = np.broadcast_to(score >= np.quantile(score, 0.8), (256, 64, 4)).reshape(256, 256).T
    model.layers[0].kernel.assign(np.where(kept, kernel, 0.0))
    x = np.random.default_rng(1).normal(size=(64, 256)).astype("float32")
    print("\n| file | bytes | zipped | LiteRT | TFLite Micro |\n|---|---|---|---|---|")
    for integer in (False, True):
        for sparse in (False, True):
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            converter.optimizations = [tf.lite.Optimize.DEFAULT] * integer
            converter.optimizations += [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] * sparse
            if integer:
                converter.representative_dataset = lambda: ([row[None]] for row in x)
            with contextlib.redirect_stdout(io.StringIO()):
                content = converter.convert()
            name = ("int8" if integer else "float32") + (", EXPERIMENTAL_SPARSITY" if sparse else "")
            sizes = f"{len(content):,} | {len(zlib.compress(content, 9)):,}"
            errors = [error_of(run, content, x[:1], model(x[:1])) for run in (on_litert, on_micro)]
            print(f"| {name} | {sizes} | {' | '.join(errors)} |", flush=True)


def error_of(run, content, x, expected):
    try:
        return f"error {np.max(np.abs(run(content, x) - expected)):.2g}"
    except Exception as error:  # whatever it raises is the result
        return f"{type(error).__name__}: {str(error).strip()[:90]}"


def on_litert(content, x):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def on_micro(content, x):
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    return interpreter.get_output(0)

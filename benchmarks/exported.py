"""`python -m benchmarks.exported`: µs per time step of exported recurrences on LiteRT, one thread, files in turn.

Our files are compared with files from TensorFlow's converter, and with a handwritten file that uses the operator
UNIDIRECTIONAL_SEQUENCE_RNN of the schema.
"""

import argparse
import contextlib
import io
import pathlib
import tempfile
import time

import numpy as np

from benchmarks import machine

TIME, FEATURES, UNITS = 100, 10, 64


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exported", description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="rounds per file (default 31)")
    rounds = parser.parse_args().rounds
    about = machine.describe(threads=1)
    print(f"{about['cpu']}, {about['system']}, load {about['load_before']:.1f}; {about['versions']}")
    print(f"{TIME} steps, {FEATURES} features, {UNITS} units, batch 1; medians of {rounds} rounds")
    for sequences in (False, True):
        # The converter reports its progress on the standard output.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            rows = measure(pathlib.Path(folder), sequences, rounds)
        peer = rows["TensorFlow's converter, float32"][0]
        print(
            f"\n| {'all outputs' if sequences else 'last output'} | µs per step | times as fast | bytes | error of h |"
        )
        print("| --- | --- | --- | --- | --- |")
        for name, (microseconds, size, error) in rows.items():
            print(f"| {name} | {microseconds:.2f} | {peer / microseconds:.1f} | {size:,} | {error:.4f} |")


def measure(folder, sequences, rounds):
    """Returns name → (median µs per step, bytes, largest error of h) for every file."""
    import keras

    import keras_vrnn as kv

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(200, TIME, FEATURES)).astype("float32")
    models = {
        kind: keras.Sequential(
            [
                keras.Input(batch_shape=(1, TIME, FEATURES)),
                layer(UNITS, return_sequences=sequences, **options),
            ]
        )
        for kind, layer, options in (
            ("ours", kv.VanillaRNN, {}),
            ("stock", keras.layers.SimpleRNN, {}),
            ("unrolled", keras.layers.SimpleRNN, {"unroll": True}),
        )
    }
    for model in models.values():
        model.set_weights(models["ours"].get_weights())
    expected = np.asarray(models["ours"](x[:1])).reshape(-1, UNITS)[-1]
    files = {
        "TensorFlow's converter, float32": stock(models["stock"], None),
        "the same, unrolled": stock(models["unrolled"], None),
        "the same, unrolled, int8": stock(models["unrolled"], x),
        "sequence op, float32": sequence_op(models["ours"].get_weights(), sequences, np.float32),
        "sequence op, int8 weights": sequence_op(models["ours"].get_weights(), sequences, np.int8),
    }
    for form, quantization in (
        *(("sequence", q) for q in ("float32", "dynamic", "int8", "int16x8")),
        ("unrolled", "int8"),
        ("streaming", "int8"),
    ):
        path = folder / f"{form}-{quantization}.tflite"
        kv.tflite.export(models["ours"], path, form=form, quantization=quantization, calibration_data=x)
        files[f"ours, {form}, {quantization}"] = path.read_bytes()
    timed = {name: Timed(content, x[0]) for name, content in files.items()}
    times = {name: [] for name in files}
    for _ in range(rounds):
        for name, file in timed.items():
            times[name].append(file.run())
    return {
        name: (np.median(times[name]) * 1e6 / TIME, len(files[name]), np.abs(file.output() - expected).max())
        for name, file in timed.items()
    }


class Timed:
    """A file in the interpreter. A streaming file is invoked once per step."""

    def __init__(self, content, x):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()
        signal = next(d for d in details if d["shape"][-1] == FEATURES)
        self._invokes = TIME // signal["shape"][1]
        self._state = [d for d in details if d is not signal]
        self._outputs = self._interpreter.get_output_details()
        scale, zero_point = signal["quantization"]
        if scale:
            limits = np.iinfo(signal["dtype"])
            x = np.clip(np.round(x / scale) + zero_point, limits.min, limits.max)
        self._x, self._signal = x.astype(signal["dtype"]), signal

    def run(self):
        """Returns the seconds that one sequence takes, without the time to set and get tensors."""
        total, length = 0.0, TIME // self._invokes
        for state in self._state:
            self._interpreter.set_tensor(state["index"], np.zeros(state["shape"], state["dtype"]))
        self._interpreter.reset_all_variables()
        for k in range(self._invokes):
            part = self._x[None, k * length : (k + 1) * length]
            self._interpreter.set_tensor(self._signal["index"], part)
            start = time.perf_counter()
            self._interpreter.invoke()
            total += time.perf_counter() - start
            for state in self._state:
                self._interpreter.set_tensor(
                    state["index"], self._interpreter.get_tensor(self._outputs[-1]["index"])
                )
        return total

    def output(self):
        """Returns the last h as real numbers."""
        detail = self._outputs[0]
        y = self._interpreter.get_tensor(detail["index"]).astype(np.float64)
        scale, zero_point = detail["quantization"]
        return ((y - zero_point) * scale if scale else y).reshape(-1, UNITS)[-1]


def stock(model, calibration_data):
    """Returns the file that TensorFlow's own converter writes for a model."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration_data is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in calibration_data)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    else:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


def sequence_op(weights, sequences, dtype):
    """Returns a file with the recurrence as one UNIDIRECTIONAL_SEQUENCE_RNN; its state is an interpreter variable."""
    from ai_edge_litert import schema_py_generated as schema

    from keras_vrnn.quantization.formats import Quantization
    from keras_vrnn.tflite.exporting.writing.flatbuffer import ModelFile

    kernel, recurrent_kernel, bias = weights
    file = ModelFile()
    graph, _ = file.graph("main")
    x = graph.tensor("x", (1, TIME, FEATURES), np.float32)
    matrices = []
    for name, matrix in (("W_x", kernel.T), ("W_h", recurrent_kernel.T)):
        scale = float(np.abs(matrix).max() / 127) if dtype == np.int8 else None
        data = np.round(matrix / scale).astype(np.int8) if scale else matrix
        matrices.append(graph.constant(name, data, Quantization(scale, 0) if scale else None))
    state = graph.tensor("h", (1, UNITS), np.float32)
    graph.subgraph.tensors[state].isVariable = True
    h = graph.tensor("sequence", (1, TIME, UNITS), np.float32)
    options = schema.SequenceRNNOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    graph.operator(
        "UNIDIRECTIONAL_SEQUENCE_RNN", [x, *matrices, graph.constant("b", bias), state], [h], options
    )
    file.model.operatorCodes[-1].version = 2 if dtype == np.int8 else 1
    if not sequences:
        last = graph.tensor("last", (1, UNITS), np.float32)
        gather = schema.GatherOptionsT()
        gather.axis = 1
        graph.operator("GATHER", [h, graph.constant("T-1", np.array(TIME - 1, np.int32))], [last], gather)
        h = last
    graph.subgraph.inputs, graph.subgraph.outputs = [x], [h]
    return file.pack()


if __name__ == "__main__":
    main()

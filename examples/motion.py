"""Streaming on a device: which exercise does the wrist do? One int8 step of the network per sample.

python examples/motion.py           # smartwatch recordings of ten people; two of them are held out
python examples/motion_firmware.py  # the same network in C, on an emulated Cortex-M4
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

import keras_vrnn as kv

RATE, STEPS = 12.5, 50  # samples per second, and per training window
HELD_OUT = (9, 10)  # people
# What goes into the file beside the weights. The scales bring g and rad/s to about one.
CARD = kv.tflite.Card(
    name="motion",
    description="Shoulder exercises by the motion of a smartwatch, 12.5 samples a second",
    training_data="seglearn's watch data (Burns et al. 2018), people 1 to 8",
    features=[f"{what} {axis}" for what in ("acceleration", "rotation") for axis in "xyz"],
    std=[1, 1, 1, 3, 3, 3],
)


def main(argv=None):
    args = arguments(argv)
    try:
        data = kv.datasets.watch_motions()
        if (path := args.out / "motion.tflite").exists() and not args.overwrite:
            raise FileExistsError(f"{path} exists; add --overwrite or another --out.")
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    known = ~np.isin(data.subjects, HELD_OUT)
    (x_train, y_train), (x, y) = (
        (CARD.normalized(readings), labels)
        for readings, labels in (windows(data, known), windows(data, ~known))
    )

    model = train(x_train, y_train, len(data.classes), epochs=1 if args.quick else 30)
    result = kv.tflite.export(
        model,
        path,
        form="streaming",
        calibration_data=x_train[::10],
        card=dataclasses.replace(CARD, classes=data.classes),
        overwrite=args.overwrite,
    )
    x, y = (x[::20], y[::20]) if args.quick else (x, y)
    in_keras = model.predict(x, verbose=0).argmax(axis=-1)
    on_device, seconds = stream(path, x)

    print(f"{known.sum()} recordings trained on; windows of people {HELD_OUT}, never seen: {len(x)}")
    print(f"{'after':>8} {'Keras':>8} {'int8, step by step':>20}")
    for step in (6, 12, 25, STEPS):
        rights = [(answers[:, step - 1] == y[:, 0]).mean() for answers in (in_keras, on_device)]
        print(f"{step / RATE:6.1f} s {rights[0]:8.1%} {rights[1]:20.1%}")
    print(f"{path}: {result.size / 1000:.1f} kB; {1e6 * seconds:.0f} µs per step, including Python")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("out/motion"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="one epoch: a test of the program, not of the model"
    )
    return parser.parse_args(argv)


def windows(data, chosen):
    """Windows of readings, (windows, STEPS, 6), at RATE and half a window apart, and the exercise at each step."""
    pieces, labels = [], []
    for recording, label, take in zip(data.recordings, data.labels, chosen, strict=True):
        if take:
            slower = recording[: len(recording) // 4 * 4].reshape(-1, 4, 6).mean(axis=1)
            starts = range(0, len(slower) - STEPS + 1, STEPS // 2)
            pieces += [slower[start : start + STEPS] for start in starts]
            labels += [label] * len(starts)
    return np.stack(pieces), np.repeat(np.array(labels)[:, None], STEPS, axis=1)


def train(x, y, classes, epochs):
    """Trains a model that answers at every step, so that it is right as early as possible."""
    import keras

    keras.utils.set_random_seed(0)
    model = kv.many_to_many(64, classes, features=6, timesteps=STEPS, dropout=0.3)
    batch_size = 64
    steps = epochs * -(-len(x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    # XLA draws random numbers slowly on a CPU: dropout would take ten times as long as the rest (TensorFlow 2.21).
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=5.0,
        jit_compile=False,
    )
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=2)
    return model


def stream(path, x):
    """The likeliest class after each sample, (windows, STEPS), and the time per step."""
    runner = kv.tflite.Runner(path)
    answers = np.zeros(x.shape[:2], int)
    start = time.perf_counter()
    for window, answer in zip(x, answers, strict=True):
        runner.reset()
        for t, sample in enumerate(window):  # one by one, as from the sensor
            answer[t] = runner.step(sample).argmax()
    return answers, (time.perf_counter() - start) / answers.size


if __name__ == "__main__":
    main()

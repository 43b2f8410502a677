"""One-to-many: turns the class of a digit into a picture, row by row, in Keras and on a device.

python examples/digits.py     # 5,000 digits of MNIST; out/digits/digits.png
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

import keras_vrnn as kv

FILES = ("digits.tflite", "digits.png")


def main(argv=None):
    args = arguments(argv)
    try:
        images, labels = kv.datasets.digits()
        if there := [name for name in FILES if (args.out / name).exists() and not args.overwrite]:
            raise FileExistsError(f"{args.out} holds {', '.join(there)}; add --overwrite or another --out.")
        import matplotlib.pyplot as plt

        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    order = np.random.default_rng(0).permutation(len(images))
    held_out, training = np.split(order, [500 if args.quick else 1000])
    training = training[:500] if args.quick else training

    model = train(images[training], labels[training, None], epochs=3 if args.quick else 60)
    path = args.out / "digits.tflite"
    classes = np.arange(10)[:, None]
    kv.tflite.export(model, path, calibration_data=classes, overwrite=args.overwrite)
    drawn = {
        "mean of the training digits": np.stack(
            [images[training][labels[training] == k].mean(0) for k in range(10)]
        ),
        "Keras": model.predict(classes, verbose=0),
        "int8 .tflite": kv.tflite.Runner(path)(classes),
    }
    print(
        f"{len(held_out):,} held-out digits; cross-entropy in bits per pixel, given the picture of their class:"
    )
    print(f"{'one grey for all':28} {bits(images[held_out], images[training].mean()):.3f}")
    for name, pictures in drawn.items():
        print(f"{name:28} {bits(images[held_out], pictures[labels[held_out]]):.3f}")
    print(f"{path}: {path.stat().st_size / 1000:.1f} kB")

    figure, rows = plt.subplots(len(drawn), figsize=(10, 3.6))
    for axis, (name, pictures) in zip(rows, drawn.items(), strict=True):
        axis.imshow(np.concatenate(list(pictures), axis=1), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(name, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    partial = args.out / ".digits.partial.png"
    figure.savefig(partial, dpi=110)
    os.replace(partial, args.out / "digits.png")
    print(f"Picture: {args.out / 'digits.png'}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("out/digits"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="few digits, few epochs: a test of the program, not of the model"
    )
    return parser.parse_args(argv)


def train(images, labels, epochs):
    """Trains a model that reads the class at every step; its state encodes the row."""
    import keras

    keras.utils.set_random_seed(0)
    model = kv.one_to_many(128, outputs=28, task="binary", vocab_size=10, timesteps=28)
    batch_size = 100
    steps = epochs * -(-len(images) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    # Pixels are grey: the loss treats the grey value as the probability of black.
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", global_clipnorm=1.0)
    model.fit(labels, images, batch_size=batch_size, epochs=epochs, verbose=2)
    return model


def bits(images, pictures):
    """Mean cross-entropy of pixels given a picture of probabilities, in bits."""
    # Half a step of int8: a probability of 0 or 1 would cost infinitely many bits.
    p = np.clip(pictures, 1 / 512, 1 - 1 / 512)
    return float(-(images * np.log2(p) + (1 - images) * np.log2(1 - p)).mean())


if __name__ == "__main__":
    main()

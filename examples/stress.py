"""Many-to-many: which vowel of a word is stressed? One label per sound, read from both sides.

python examples/stress.py     # the CMU Pronouncing Dictionary
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import keras_vrnn as kv

LENGTH = 14  # sounds; 99.6 % of the words
CONSONANT, UNSTRESSED, PRIMARY, SECONDARY = range(4)


def main(argv=None):
    args = arguments(argv)
    try:
        parts, sounds = load(3000 if args.quick else None)
        if (path := args.out / "stress.tflite").exists() and not args.overwrite:
            raise FileExistsError(f"{path} exists; add --overwrite or another --out.")
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
    training, (x, y) = parts

    epochs = 1 if args.quick else 6
    forward = train(training, sounds, epochs, bidirectional=False)
    both = train(training, sounds, epochs, bidirectional=True)
    result = kv.tflite.export(both, path, calibration_data=training[0][:300], overwrite=args.overwrite)
    first = np.where(y == CONSONANT, CONSONANT, UNSTRESSED)
    vowels = y != CONSONANT
    first[np.arange(len(y)), vowels.argmax(axis=1)] = PRIMARY

    print(f"{len(training[0]):,} words trained on, {len(x):,} held out:")
    print(f"{'':26} {'vowels right':>13} {'whole words':>12}")
    print_row("always the first vowel", first, x, y)
    print_row("forward only", forward.predict(x, verbose=0).argmax(axis=-1), x, y)
    print_row("both directions", both.predict(x, verbose=0).argmax(axis=-1), x, y)
    print_row("both directions, int8", kv.tflite.Runner(path)(x).argmax(axis=-1), x, y)
    print(f"{path}: {result.size / 1000:.1f} kB")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("out/stress"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="few words, one epoch: a test of the program, not of the model"
    )
    return parser.parse_args(argv)


def load(most):
    """Training and held-out words as (sounds without stress, one label per sound), and the symbols of the sounds."""
    data = kv.datasets.pronunciations(stress=True)
    parts = data.split((0.95, 0.05))
    pairs = []
    symbols = kv.Symbols(tuple(sorted({p.rstrip("012") for v in data.variants for p in v[0]})))
    for part in parts:
        # The first pronunciation is the usual one. Words with one vowel are trivial.
        said = [v[0] for v in part.variants if len(v[0]) <= LENGTH and sum(p[-1].isdigit() for p in v[0]) > 1]
        said = said[:most]
        x = symbols.encode([[phone.rstrip("012") for phone in phones] for phones in said], LENGTH)
        y = np.zeros_like(x)
        for row, phones in zip(y, said, strict=True):
            row[: len(phones)] = [1 + int(p[-1]) if p[-1].isdigit() else CONSONANT for p in phones]
        pairs.append((x, y))
    return pairs, symbols


def train(training, sounds, epochs, bidirectional):
    import keras

    keras.utils.set_random_seed(0)
    model = kv.many_to_many(
        64, 4, vocab_size=len(sounds), timesteps=LENGTH, bidirectional=bidirectional, embedding=24
    )
    batch_size = 128
    steps = epochs * -(-len(training[0]) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    # Padding is left out of the loss, because the embedding's mask reaches it.
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=1.0,
    )
    model.fit(*training, batch_size=batch_size, epochs=epochs, verbose=2)
    return model


def print_row(name, labels, x, y):
    right = (labels == y) | (x == 0)
    print(f"{name:26} {right[y != CONSONANT].mean():13.1%} {right.all(axis=1).mean():12.1%}")


if __name__ == "__main__":
    main()

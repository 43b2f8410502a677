"""Sentiment of film reviews: from text to an int8 model for a device, checked on reviews it never saw.

python examples/sentiment.py                       # 8,530 sentences from Rotten Tomatoes
python examples/sentiment.py --dataset imdb        # 25,000 full reviews
python examples/sentiment.py --data mine.csv       # your own: columns text,label; two classes
python examples/sentiment.py --predict "a gem"     # asks the exported model, without TensorFlow
"""

import argparse
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

import keras_vrnn as kv  # quick: TensorFlow and Keras load only when a model is trained
from keras_vrnn.cli import quiet

FILES = (
    "model.keras",
    "sentiment_float32.tflite",
    "sentiment_int8.tflite",
    "vocabulary.json",  # the preprocessing that a device needs
    "gradient_norms.csv",
    "gradient_norms.png",
    "results.json",
)


def main(argv=None):
    args = arguments(argv)
    try:
        if args.predict is not None:
            return predict(args.predict, args.out)
        data = kv.datasets.labelled_csv(args.data) if args.data else kv.datasets.movie_reviews(args.dataset)
        settings = {
            "version": kv.__version__,
            "reviews": hashlib.sha256(repr((data.texts, data.labels.tolist())).encode()).hexdigest(),
            "quick": args.quick,
            "seed": args.seed,
        }
        if not args.overwrite and any((args.out / name).exists() for name in FILES):
            return print_saved(args.out, settings)
        if importlib.util.find_spec("matplotlib") is None:  # fail before the training, not after it
            raise ModuleNotFoundError('matplotlib is not installed; run: pip install "keras-vrnn[plots]"')
        parts, vocabulary = prepare(with_words(data), args.quick)
        # All files are made in a folder of their own and moved at the end: an interrupted run leaves no
        # half-finished file, and a folder that can't be written stops the run before training.
        args.out.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(dir=args.out, prefix=".unfinished-")
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")

    with unfinished:
        folder = Path(unfinished.name)
        vocabulary.save(folder / "vocabulary.json")
        model = train(parts[0], parts[1], vocabulary, folder, args.seed, epochs=1 if args.quick else 12)
        table = export_and_verify(model, parts[0][0], parts[2], folder)
        results = {"settings": settings, "reviews": [len(labels) for _, labels in parts], "table": table}
        (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        for name in FILES:
            os.replace(folder / name, args.out / name)
    print_table(results)
    print(f"Files: {args.out}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--dataset", choices=("rotten_tomatoes", "imdb"), default="rotten_tomatoes")
    source.add_argument("--data", type=Path, metavar="FILE.csv", help="your own reviews, columns text,label")
    parser.add_argument(
        "--out", type=Path, default=Path("out/sentiment"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="train again and replace what --out holds")
    parser.add_argument(
        "--quick", action="store_true", help="few reviews, one epoch: a test of the program, not of the model"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the weights, the dropout and the shuffling"
    )
    parser.add_argument(
        "--predict", metavar="TEXT", help="print the class that the int8 model in --out gives TEXT"
    )
    return parser.parse_args(argv)


def with_words(data):
    """The texts that hold a word; the others, such as "...", are counted and skipped."""
    words = kv.text.Vocabulary(words=(), length=1)  # its rules alone
    kept = [row for row, text in enumerate(data.texts) if words.tokenize(text)]
    skipped = sorted(set(range(len(data))) - set(kept))
    if not skipped:
        return data
    print(
        f"{len(skipped):,} of {len(data):,} texts hold no word and are skipped, {data.texts[skipped[0]]!r} first."
    )
    return data.take(kept)


def prepare(data, quick):
    """Training, validation and test reviews, each as (ids, labels), and the vocabulary."""
    parts = kv.datasets.split_by_blocks(data, (0.8, 0.1, 0.1))
    if quick:
        parts = [part.take(range(min(len(part), 500))) for part in parts]
    # The vocabulary comes from the training part alone, so that the test measures unseen text.
    vocabulary = kv.text.Vocabulary.build(parts[0].texts, size=5000, max_length=200, classes=data.classes)
    return [(vocabulary.encode(part.texts), part.labels) for part in parts], vocabulary


def train(training, validation, vocabulary, folder, seed, epochs):
    """Trains the model and saves it, with its gradient norms."""
    import keras

    keras.utils.set_random_seed(seed)
    model = kv.Sequential(
        [
            keras.Input((vocabulary.length,), dtype="int32"),
            # mask_zero: the recurrence skips the padding, in Keras and in the exported loop.
            keras.layers.Embedding(len(vocabulary), 32, mask_zero=True),
            # 7,000 sentences are few: with less dropout the model memorizes them within a few epochs.
            keras.layers.SpatialDropout1D(0.6),
            # The identity carries the state on unchanged (Le et al. 2015), so that the first words still matter at
            # the end: 1 % more right than with "orthogonal", and half its largest int8 error (validation part).
            kv.VanillaRNN(32, recurrent_initializer="identity", dropout=0.6),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    batch_size = 64
    steps = epochs * -(-len(training[0]) // batch_size)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        "binary_crossentropy",
        metrics=["accuracy"],
        global_clipnorm=4.0,  # twice the usual norm here; with full reviews some steps reach 100 and more
    )
    norms = kv.callbacks.GradientNorms(csv=folder / "gradient_norms.csv")
    # The validation part chooses the epoch; the test part is used once, at the end.
    best = keras.callbacks.EarlyStopping("val_accuracy", patience=epochs, restore_best_weights=True)
    model.fit(
        *training,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=validation,
        callbacks=[norms, best],
        verbose=2,
    )
    norms.plot(folder / "gradient_norms.png")
    model.save(folder / "model.keras")
    return model


def export_and_verify(model, x_train, test, folder):
    """Writes both `.tflite` files and returns the rows of the table, measured on the test part."""
    table = []
    for quantization in ("float32", "int8"):
        path = folder / f"sentiment_{quantization}.tflite"
        # int8 measures the ranges of the activations on some reviews, from the training part.
        kv.tflite.export(model, path, quantization=quantization, calibration_data=x_train[:500])
        report = kv.tflite.verify(model, path, *test)
        table.append(
            {
                "model": f"{quantization} .tflite",
                "accuracy": report.accuracy_tflite,
                "bytes": report.size,
                "microseconds": report.microseconds,
                "largest_difference": report.max_error,
                "agreement": report.agreement,
            }
        )
    size = (
        (folder / "model.keras").stat().st_size
    )  # includes the state of the optimizer, to continue training
    return [{"model": "Keras", "accuracy": report.accuracy_keras, "bytes": size}, *table]


def print_table(results):
    trained, validated, tested = results["reviews"]
    print(
        f"{trained:,} reviews trained on, {validated:,} to choose the epoch, {tested:,} held out for this table:"
    )
    print(f"{'':16} {'accuracy':>9} {'file':>11} {'per review':>11} {'largest Δp':>11} {'same class':>11}")
    for row in results["table"]:
        line = f"{row['model']:16} {row['accuracy']:9.1%} {row['bytes'] / 1000:8.1f} kB"
        if "agreement" in row:
            line += (
                f" {row['microseconds']:8.0f} µs {row['largest_difference']:11.3f} {row['agreement']:11.1%}"
            )
        print(line)


def print_saved(out, settings):
    """Prints the table of an earlier run with the same settings; files of another run must not be lost."""
    missing = [name for name in FILES if not (out / name).is_file()]
    results = {} if missing else json.loads((out / "results.json").read_text())
    if different := missing or [
        name for name in settings if results.get("settings", {}).get(name) != settings[name]
    ]:
        reason = f"{', '.join(different)} {'missing' if missing else 'different'}"
        raise FileExistsError(
            f"{out} holds another run's files ({reason}); add --overwrite or another --out."
        )
    print_table(results)
    print(f"Files: {out}, from an earlier run (--overwrite trains again)")


def predict(text, out):
    """Prints the class that the int8 model gives `text`, as on a device: without TensorFlow and Keras."""
    path = out / "sentiment_int8.tflite"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train a model first, without --predict.")
    vocabulary = kv.text.Vocabulary.load(out / "vocabulary.json")
    if not vocabulary.tokenize(text):
        raise ValueError(f"`--predict` must hold at least one word. Received: {text!r}.")
    ids = vocabulary.encode([text])
    probability = kv.tflite.Runner(path)(ids)[0, 0]  # of the second class
    likely = int(probability >= 0.5)
    hint = "" if (ids > kv.text.UNKNOWN).any() else ", a guess: no word of the text is in the vocabulary"
    print(f"{vocabulary.classes[likely]} ({probability if likely else 1 - probability:.0%}){hint}")


if __name__ == "__main__":
    with quiet():  # without TensorFlow's start-up messages
        main()

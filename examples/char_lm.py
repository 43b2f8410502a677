"""A character language model of film reviews, trained by truncated BPTT and compared with n-grams.

python examples/char_lm.py             # about a million characters from Rotten Tomatoes
python examples/char_lm.py --quick     # few characters, one epoch: a test of the program, not of the model
"""

import argparse
import collections
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

import keras_vrnn as kv

FILES = ("model.keras", "results.json")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("out/char_lm"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="train again and replace what --out holds")
    parser.add_argument("--quick", action="store_true", help="little text, one epoch")
    args = parser.parse_args(argv)
    try:
        if not args.overwrite and (there := [name for name in FILES if (args.out / name).exists()]):
            raise FileExistsError(f"{args.out / there[0]} exists; add --overwrite or another --out.")
        reviews = kv.datasets.split_by_blocks(kv.datasets.movie_reviews(), (0.9, 0.1))
        args.out.mkdir(parents=True, exist_ok=True)
        unfinished = tempfile.TemporaryDirectory(dir=args.out, prefix=".unfinished-")
    except (OSError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")

    texts = ["\n".join(part.texts[: 300 if args.quick else None]) for part in reviews]
    common = collections.Counter(texts[0]).most_common(63)  # the characters come from the training part alone
    characters = ["\N{REPLACEMENT CHARACTER}", *sorted(character for character, _ in common)]
    ids = {character: i for i, character in enumerate(characters)}
    training, held_out = (np.array([ids.get(c, 0) for c in text], np.int32) for text in texts)

    model = train(training, len(characters), epochs=1 if args.quick else 15)
    bits = {f"{n}-grams": ngram_bits(training, held_out, n, len(characters)) for n in (1, 3, 5, 7)}
    bits["VanillaRNN"] = model.evaluate(*streams(held_out, 1), verbose=0) / math.log(2)
    print(f"{len(training):,} characters trained on, {len(held_out):,} held out for this table:")
    print("\n".join(f"{name:12} {value:6.3f} bits per character" for name, value in bits.items()))
    text = sample(model, characters, ids["\n"], length=400)
    print(f"\nA sample:\n{text}")
    with unfinished as folder:
        model.save(Path(folder, "model.keras"))
        results = {"bits_per_character": bits, "characters": characters, "sample": text}
        Path(folder, "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        for name in FILES:
            Path(folder, name).replace(args.out / name)


def streams(ids, rows):
    """The text as `rows` long sequences of inputs, and the character that follows each input."""
    steps = (len(ids) - 1) // rows
    return ids[: rows * steps].reshape(rows, steps), ids[1 : rows * steps + 1].reshape(rows, steps)


def train(ids, size, epochs, rows=16, window=50):
    """Trains on one batch per epoch: a few sequences, each a large part of the text, 50 characters per update."""
    import keras

    keras.utils.set_random_seed(0)
    x, y = streams(ids, rows)
    model = kv.Sequential(layers(keras.Input((None,), dtype="int32"), size))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-x.shape[1] // window))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, global_clipnorm=1.0, truncate_steps=window)
    model.fit(x, y, batch_size=rows, epochs=epochs, shuffle=False, verbose=2)
    return model


def layers(inputs, size, **options):
    import keras

    rnn = kv.VanillaRNN(256, return_sequences=True, **options)
    return [inputs, keras.layers.Embedding(size, 48), rnn, keras.layers.Dense(size)]


def ngram_bits(training, text, n, size):
    """Bits per character of n-grams, smoothed by shorter n-grams (Witten and Bell 1991)."""
    probability = np.full(len(text), 1 / size)
    for length in range(n):
        seen = collections.Counter(grams(training, length))
        total, kinds = collections.Counter(), collections.Counter(gram[:-1] for gram in seen)
        for gram, count in seen.items():
            total[gram[:-1]] += count
        for i, gram in enumerate(grams(text, length), start=length):
            if known := total[gram[:-1]] + kinds[gram[:-1]]:
                probability[i] = (seen[gram] + kinds[gram[:-1]] * probability[i]) / known
    return float(-np.mean(np.log2(probability)))


def grams(ids, length):
    return zip(*(ids[start:].tolist() for start in range(length + 1)), strict=False)


def sample(model, characters, last, length, temperature=0.8):
    """Draws one character after another, with the same layers made stateful."""
    import keras

    inputs = keras.Input(batch_shape=(1, 1), dtype="int32")
    stepper = keras.Sequential(layers(inputs, len(characters), stateful=True))
    stepper.set_weights(model.get_weights())
    random, text = np.random.default_rng(0), ""
    for _ in range(length):
        z = np.float64(stepper(np.array([[last]]), training=False))[0, 0] / temperature
        p = np.exp(z - z.max())
        last = random.choice(len(characters), p=p / p.sum())
        text += characters[last]
    return text


if __name__ == "__main__":
    main()

"""From spelling to pronunciation: an encoder-decoder of vanilla RNNs on the CMU Pronouncing Dictionary.

python examples/seq2seq_g2p.py                     # 8 epochs; continues after an interruption
python examples/seq2seq_g2p.py --full              # 24 epochs
python examples/seq2seq_g2p.py --baselines         # also the same model of keras.layers.SimpleRNN and GRU
python examples/seq2seq_g2p.py --predict tensor    # asks the exported model, without TensorFlow
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

import keras_vrnn as kv  # quick: TensorFlow and Keras load only when a model is trained
from keras_vrnn.tflite import Seq2SeqRunner

LONGEST = 20  # letters, or phones with the end token: fits all but 2 of 117,493 words
BUCKETS = (7, 9, 11, 14, LONGEST)  # a batch holds words of one bucket, so that there is little padding
BATCH = 256
FORMATS = ("int8", "int16x8")


def main(argv=None):
    args = arguments(argv)
    try:
        if args.predict is not None:
            return predict(args.predict, args.out, args.beam_width)
        settings = {
            "version": kv.__version__,
            "epochs": 1 if args.quick else 24 if args.full else 8,
            "units": 32 if args.quick else 256,
            "seed": args.seed,
            "quick": args.quick,
        }
        results = args.out / "results.json"
        if results.exists() and not args.overwrite:
            return print_saved(results, settings)
        parts = load(args.quick)
        args.out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")

    letters = kv.Symbols.build(parts[0].words)
    phones = kv.Symbols.build(variant for variants in parts[0].variants for variant in variants)
    model, seconds = train(parts, letters, phones, settings, args.out)
    test = parts[2].take(range(min(len(parts[2]), 2000)))
    table = [measure_keras(model, test, letters, phones, seconds)]
    table += export_and_measure(model, parts[0], test, letters, phones, args.out)
    for layer in ("SimpleRNN", "GRU") if args.baselines else ():
        table.append(baseline(layer, parts[0], test, letters, phones, settings))
    found = {
        "settings": settings,
        "words": [len(part) for part in parts],
        "tested": len(test),
        "table": table,
    }
    partial = results.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=2) + "\n")
    os.replace(partial, results)
    print_results(found)
    said = Seq2SeqRunner(args.out / "int8")
    for word in test.words[:8]:
        print(f"    {word:16} {' '.join(said([word])[0])}")


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help="train three times as long")
    length.add_argument(
        "--quick",
        action="store_true",
        help="few words, few units, one epoch: a test of the program, not of the model",
    )
    parser.add_argument(
        "--baselines", action="store_true", help="also train the same model of Keras' own layers"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/g2p"), help="folder of the files that are written"
    )
    parser.add_argument("--overwrite", action="store_true", help="train again and replace what --out holds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights and the shuffling")
    parser.add_argument("--predict", metavar="WORD", help="print how the int8 model in --out pronounces WORD")
    parser.add_argument("--beam-width", type=int, default=4, help="beam width of --predict")
    return parser.parse_args(argv)


def load(quick):
    """Training, validation and test words; all variants of a word are in the same part."""
    data = kv.datasets.pronunciations()
    fits = [
        n
        for n, (word, variants) in enumerate(zip(data.words, data.variants, strict=True))
        if max(len(word), *(len(variant) + 1 for variant in variants)) <= LONGEST
    ]
    parts = data.take(fits).split((0.9, 0.05, 0.05))
    return (
        [part.take(range(min(len(part), 3000 >> 4 * (k > 0)))) for k, part in enumerate(parts)]
        if quick
        else parts
    )


def pairs(part, letters, phones, model, length=LONGEST, shortest=0):
    """(source, target_in), target_out of all pronunciations that fit into `length` but not into `shortest`."""
    chosen = [
        (word, variant)
        for word, variants in zip(part.words, part.variants, strict=True)
        for variant in variants
        if shortest < max(len(word), len(variant) + 1) <= length
    ]
    source = letters.encode([word for word, _ in chosen], length)
    target_in, target_out = model.teacher_forcing(phones.encode([said for _, said in chosen], length - 1))
    return (source, target_in), target_out


def batches(part, letters, phones, model):
    """A dataset of full batches in random order, each from one bucket."""
    import tensorflow as tf

    datasets, counts = [], []
    for shortest, length in zip((0, *BUCKETS), BUCKETS, strict=False):
        arrays = pairs(part, letters, phones, model, length, shortest)
        arrays = tf.nest.map_structure(tf.constant, arrays)
        rows = int(arrays[1].shape[0])
        order = tf.data.Dataset.range(rows).shuffle(rows, seed=1).batch(min(BATCH, rows), drop_remainder=True)
        counts.append(max(rows // BATCH, 1))
        datasets.append(
            order.map(lambda n, arrays=arrays: tf.nest.map_structure(lambda x: tf.gather(x, n), arrays))
        )
    mixed = tf.data.Dataset.sample_from_datasets(
        datasets, [n / sum(counts) for n in counts], seed=2, rerandomize_each_iteration=True
    )
    return mixed.apply(tf.data.experimental.assert_cardinality(sum(counts))), sum(counts)


def compiled(model, steps):
    """Compiles with Adam, warm-up and cosine decay, and with XLA, which compiles each bucket once."""
    import keras

    warm_up = min(200, steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - warm_up, alpha=0.01, warmup_target=2e-3, warmup_steps=warm_up
    )
    model.compile(
        keras.optimizers.Adam(rate),
        kv.models.TokenCrossentropy(),
        metrics=[kv.models.TokenAccuracy(), kv.models.SequenceAccuracy()],
        global_clipnorm=1.0,
        jit_compile=True,
    )
    return model


def train(parts, letters, phones, settings, out):
    """Trains the model, or continues an interrupted training, and saves it."""
    import keras

    keras.utils.set_random_seed(settings["seed"])
    units = settings["units"]
    model = kv.EncoderDecoder(
        len(letters), len(phones), units, bidirectional=True, attention=units // 2, embedding=64
    )
    data, steps = batches(parts[0], letters, phones, model)
    compiled(model, steps * settings["epochs"])
    # The settings are in the name: a run must not continue from the weights of other settings.
    unfinished = out / "-".join(["unfinished", *(f"{name}={value}" for name, value in settings.items())])
    start = time.perf_counter()
    model.fit(
        data,
        epochs=settings["epochs"],
        shuffle=False,  # the dataset shuffles
        validation_data=pairs(parts[1].take(range(min(len(parts[1]), 2000))), letters, phones, model),
        validation_batch_size=1000,
        callbacks=[keras.callbacks.BackupAndRestore(unfinished)],
    )
    model.save(out / "model.keras")
    return model, time.perf_counter() - start


def measure_keras(model, test, letters, phones, seconds):
    source = letters.encode(test.words, LONGEST)
    model.decode(source[:1000], max_length=LONGEST, batch_size=1000)  # compiles
    start = time.perf_counter()
    model.decode(source[:1000], max_length=LONGEST, batch_size=1000)
    took = time.perf_counter() - start
    greedy = model.decode(source, max_length=LONGEST).best
    beam = model.decode(source, beam_width=4, max_length=LONGEST).best
    row = {
        "model": "Keras",
        **error_rates(greedy, test, phones),
        "beam": error_rates(beam, test, phones)["words"],
    }
    return row | {"decoded": min(len(test), 1000), "seconds": took, "minutes": seconds / 60}


def export_and_measure(model, train_part, test, letters, phones, out):
    (source, target_in), _ = pairs(train_part.take(range(200)), letters, phones, model)
    table = []
    for quantization in FORMATS:
        result = kv.tflite.export(
            model,
            out / quantization,
            quantization=quantization,
            calibration_data=(source, target_in),
            max_length=LONGEST,
            source_symbols=letters,
            target_symbols=phones,
            overwrite=True,
        )
        runner = Seq2SeqRunner(out / quantization)
        start = time.perf_counter()
        found = runner.decode(letters.encode(test.words, LONGEST)).best
        per_word = (time.perf_counter() - start) / len(test)
        table.append(
            {
                "model": f"{quantization} .tflite",
                **error_rates(found, test, phones),
                "bytes": result.size,
                "milliseconds": 1000 * per_word,
            }
        )
    return table


def baseline(layer, train_part, test, letters, phones, settings):
    """Trains the same model of Keras' layers in the same way; its greedy word error rate, from teacher forcing.

    Greedy decoding gets a variant right if and only if each of its tokens is the likeliest after the previous ones.
    """
    import keras

    keras.utils.set_random_seed(settings["seed"])
    layers, recurrent, units = keras.layers, getattr(keras.layers, layer), settings["units"]
    source, target_in = (keras.Input((None,), dtype="int32") for _ in range(2))
    embedded = layers.Embedding(len(letters), 64, mask_zero=True)(source)
    both = layers.Bidirectional(recurrent(units, return_sequences=True, return_state=True))
    memory, forward, backward = both(embedded)
    state = layers.Dense(units, activation="tanh")(layers.Concatenate()([forward, backward]))
    embedded = layers.Embedding(len(phones), 64, mask_zero=True)(target_in)
    h = recurrent(units, return_sequences=True)(embedded, initial_state=state)
    context = kv.models.AdditiveAttention(units // 2)(h, memory, source_mask=keras.ops.not_equal(source, 0))
    h = layers.Dense(units, activation="tanh")(layers.Concatenate()([h, context]))
    model = kv.Model((source, target_in), layers.Dense(len(phones))(h))

    shift = kv.EncoderDecoder(len(letters), len(phones), 1)  # only for its `teacher_forcing`
    data, steps = batches(train_part, letters, phones, shift)
    start = time.perf_counter()
    compiled(model, steps * settings["epochs"]).fit(data, epochs=settings["epochs"], shuffle=False, verbose=2)
    minutes = (time.perf_counter() - start) / 60
    (source, target_in), target_out = pairs(test, letters, phones, shift)
    likeliest = model.predict((source, target_in), batch_size=1000, verbose=0).argmax(axis=-1)
    right = ((likeliest == target_out) | (target_out == 0)).all(axis=1)
    said = np.repeat(np.arange(len(test)), [len(variants) for variants in test.variants])
    words = 1 - len(np.unique(said[right])) / len(test)
    return {"model": f"keras {layer}", "words": words, "minutes": minutes}


def error_rates(found, test, phones):
    """Share of words, and of phones, that are wrong, each compared with the nearest listed variant."""
    wrong = edits = total = 0
    for row, variants in zip(found, test.variants, strict=True):
        said = phones.decode(row)
        distance, length = min((edit_distance(said, variant), len(variant)) for variant in variants)
        wrong, edits, total = wrong + (distance > 0), edits + distance, total + length
    return {"words": wrong / len(test), "phones": edits / total}


def edit_distance(one, other):
    """The Levenshtein distance: insertions, deletions and substitutions."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def print_results(found):
    trained, _, _ = found["words"]
    keras_row = found["table"][0]
    print(
        f"{trained:,} words trained on, {keras_row['minutes']:.1f} minutes; {found['tested']:,} held-out words:"
    )
    print(f"{'':18} {'word errors':>11} {'phone errors':>12} {'files':>10} {'per word':>9}")
    for row in found["table"]:
        line = f"{row['model']:18} {row['words']:11.1%}"
        line += f" {row['phones']:12.1%}" if "phones" in row else ""
        line += f" {row['bytes'] / 1000:7.0f} kB {row['milliseconds']:6.1f} ms" if "bytes" in row else ""
        print(line)
    print(
        f"With a beam of 4 {keras_row['beam']:.1%} word errors; "
        f"Keras decodes {keras_row['decoded']:,} words greedily in {keras_row['seconds']:.2f} s."
    )


def print_saved(results, settings):
    found = json.loads(results.read_text())
    if different := [name for name in settings if found.get("settings", {}).get(name) != settings[name]]:
        raise FileExistsError(
            f"{results.parent} holds another run's files ({', '.join(different)} different); "
            "add --overwrite or another --out."
        )
    print_results(found)
    print(f"Files: {results.parent}, from an earlier run (--overwrite trains again)")


def predict(word, out, beam_width):
    """Prints how the int8 model pronounces `word`, as on a device: without TensorFlow and Keras."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise ModuleNotFoundError("ai-edge-litert is not installed; run: pip install ai-edge-litert")
    print(" ".join(Seq2SeqRunner(out / "int8")([word.lower()], beam_width=beam_width)[0]))


if __name__ == "__main__":
    main()

"""`keras-vrnn compress`: removes units, prunes weights and quantizes a Keras model, and trains it after each change."""

import dataclasses
import json
import math
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_vrnn import _checks as checks
from keras_vrnn.cli import training
from keras_vrnn.cli.loading import DATA, load_model
from keras_vrnn.cli.status import hold, threshold

# Samples for `prune_units`, which needs no more than a few hundred.
_SAMPLES = 1000
# The sparsity grows in this many steps over the first two thirds of the updates; the last third is for recovery.
_PRUNINGS = 20


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line of the table: a model, its loss and metrics, and the size of its weights."""

    model: str
    measures: dict[str, float]
    nonzero: int
    weights: int
    zipped: int


@dataclasses.dataclass(frozen=True)
class _Change:
    """One way to make a model smaller.

    Attributes:
        name: what the table calls the result.
        apply: model → changed model, not compiled.
        check: raises if the trained model is not what the options ask for.
    """

    name: str
    apply: Callable[[Any], Any]
    check: Callable[[Any], None] = lambda model: None


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "compress",
        help="remove units, prune weights and quantize a Keras model, and train it after each change",
    )
    parser.set_defaults(run=_run)
    parser.add_argument("model", help="the .keras file")
    parser.add_argument(
        "smaller", help="the .keras file to write; it keeps its zeros when it is trained further"
    )
    parser.add_argument("--data", required=True, metavar="FILE", help=f"training data: {DATA}; targets as y")
    parser.add_argument(
        "--validation",
        metavar="FILE",
        help="data for the table, in the same form; by default, the training data",
    )
    parser.add_argument(
        "--keep-units", type=float, metavar="SHARE", help="share of the units that each recurrent layer keeps"
    )
    parser.add_argument("--sparsity", type=float, metavar="SHARE", help="share of zeros in each kernel")
    parser.add_argument(
        "--quantization",
        choices=("int8", "int16x8"),
        help="train with the integers of this format, in which `keras-vrnn export` then writes the model",
    )
    parser.add_argument(
        "--weight-bits",
        type=int,
        choices=(8, 4),
        help="bits of a weight with --quantization (default: 8)",
    )
    parser.add_argument(
        "--epochs", type=int, default=5, metavar="N", help="epochs of training after each change (default: 5)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="sequences per update (default: 32)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help="learning rate; by default, the one of the model's optimizer",
    )
    parser.add_argument(
        "--loss", help="name of the loss; by default, the loss that the model was compiled with"
    )
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="names of metrics; by default, likewise")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of all random numbers (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    group = parser.add_argument_group("thresholds", "exit status 1 if one is not met")
    group.add_argument("--max-loss", type=threshold, metavar="LOSS", help="loss of the model that is written")


def _run(options):
    _check(options)
    argument = "data" if options.validation is None else "validation"
    loaded = {
        name: training.load_samples(getattr(options, name), name)
        for name in dict.fromkeys(("data", argument))
    }
    import keras

    model = load_model(options.model)
    samples = {name: training.fitted(model, data, name) for name, data in loaded.items()}
    compile_config = training.compile_config(model, options)
    training.compile_as(model, compile_config)
    keras.utils.set_random_seed(options.seed)
    changes = _changes(options, model, samples["data"])
    # One batch shows whether the training data fit, before any work is spent.
    one_batch = training.some(samples["data"], options.batch_size, options.seed)
    training.measures(model, one_batch, options.batch_size, "data")

    def row(name):
        return _row(name, model, training.measures(model, samples[argument], options.batch_size, argument))

    rows = [row(options.model)]
    for change in changes:
        model = change.apply(model)
        training.compile_as(model, compile_config)
        model.fit(*samples["data"], batch_size=options.batch_size, epochs=options.epochs, verbose=0)
        rows.append(row(change.name))
        _check_trained(rows[-1])
        change.check(model)
    _write(model, Path(options.smaller))
    print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2) if options.json else _table(rows))
    return hold("compress", [("loss", rows[-1].measures["loss"], options.max_loss, False)])


def _changes(options, model, samples) -> list[_Change]:
    """Returns the changes that the options ask for, in order; the model is trained after each of them.

    Units come first, since fewer weights then remain to be pruned. Number formats belong at the end, since their scales
    depend on all weights.
    """
    changes = []
    if options.keep_units is not None:
        changes.append(_fewer_units(options, samples))
    if options.sparsity is not None:
        changes.append(_zeros(options, model.optimizer, len(samples[1])))
    if options.quantization is not None:
        changes.append(_integers(options, samples))
    return changes


def _fewer_units(options, samples):
    from keras_vrnn import compression

    data = training.some(samples, _SAMPLES, options.seed)

    def apply(model):
        try:
            return compression.prune_units(model, options.keep_units, data=data)
        except TypeError as error:  # the class of the model is the user's input here
            raise ValueError(str(error)) from error

    return _Change(f"{options.keep_units:.3g} of the units", apply)


def _zeros(options, optimizer, count):
    from keras_vrnn import compression
    from keras_vrnn.compression.pruning import masks_of
    from keras_vrnn.training.settings import innermost

    batches = math.ceil(count / options.batch_size) * options.epochs
    updates = batches // (innermost(optimizer).gradient_accumulation_steps or 1)
    if updates < 2:
        raise ValueError(
            f"`epochs` must give at least 2 updates for pruning. Received: epochs={options.epochs}, {count} samples "
            f"in batches of {options.batch_size}."
        )
    every = max(1, updates * 2 // 3 // _PRUNINGS)
    # The last pruning is the one that reaches the sparsity, so the end must be one of the steps that prune.
    end = max(1, updates * 2 // 3) // every * every
    schedule = compression.PolynomialDecay(0.0, options.sparsity, begin_step=0, end_step=end, frequency=every)

    def check(model):
        trained = {variable.path for variable in model.trainable_variables}
        for path, mask in masks_of(model).items():
            kept = np.asarray(mask.pruning_mask)
            if path in trained and np.mean(~kept) < options.sparsity - 1 / kept.size:
                raise ValueError(
                    f"`epochs` must give more updates: {np.mean(~kept):.3g} of `{path}` is zero after training, and "
                    f"--sparsity asks for {options.sparsity:.3g}. Nothing is written."
                )

    return _Change(f"{options.sparsity:.3g} zeros", lambda model: compression.prune(model, schedule), check)


def _integers(options, samples):
    from keras_vrnn import compression

    bits: Literal[8, 4] = 4 if options.weight_bits == 4 else 8
    data = training.some(samples, _SAMPLES, options.seed)[0]

    def apply(model):
        return compression.quantize_aware(
            model, options.quantization, weight_bits=bits, calibration_data=data
        )

    return _Change(f"{options.quantization}, {bits}-bit weights", apply)


def _check(options):
    """Refuses, before any work, what can't succeed."""
    from keras_vrnn import _files

    _files.check_writable(options.smaller, options.overwrite, "smaller")
    if Path(options.smaller).suffix != ".keras":
        raise checks.refused("smaller", "end in .keras", options.smaller)
    if (options.keep_units, options.sparsity, options.quantization) == (None, None, None):
        raise ValueError("`keep_units`, `sparsity` or `quantization` must be given. Received: none of them.")
    if options.weight_bits is not None and options.quantization is None:
        raise checks.refused("weight_bits", "be given with `quantization` only", options.weight_bits)
    if options.weight_bits == 4 and options.quantization == "int16x8":
        raise checks.refused("weight_bits", "be 8 with `quantization` int16x8", options.weight_bits)
    for name, most in (("keep_units", 1.0), ("sparsity", math.nextafter(1.0, 0.0))):
        share = getattr(options, name)
        if share is not None and not 0.0 < share <= most:
            raise checks.refused(name, f"be in (0, 1{']' if most == 1.0 else ')'}", share)
    checks.positive_int("epochs", options.epochs)
    checks.positive_int("batch_size", options.batch_size)
    if options.learning_rate is not None:
        checks.number("learning_rate", options.learning_rate, above=0.0)
    if not 0 <= options.seed < 2**32:
        raise checks.refused("seed", "be an integer from 0 to 2³² - 1", options.seed)


def _row(name, model, measures):
    weights = [np.asarray(value) for value in model.get_weights()]
    return _Row(
        model=name,
        measures={key: float(value) for key, value in measures.items()},
        nonzero=sum(int(np.count_nonzero(value)) for value in weights),
        weights=sum(value.size for value in weights),
        zipped=len(zlib.compress(b"".join(value.tobytes() for value in weights), 9)),
    )


def _check_trained(row):
    if not math.isfinite(row.measures["loss"]):
        raise ValueError(
            f"`learning_rate` must be lower: after training with {row.model}, the loss is {row.measures['loss']}. "
            "Nothing is written."
        )


def _write(model, path):
    # In a folder of its own, because Keras requires a name that ends in .keras.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as unfinished:
        made = Path(unfinished) / path.name
        model.save(made)
        os.replace(made, path)


def _table(rows):
    head = ["", *rows[0].measures, "non-zero weights", "zipped bytes"]
    lines = [
        [
            row.model,
            *(f"{value:.4f}" for value in row.measures.values()),
            f"{row.nonzero:,} of {row.weights:,}",
            f"{row.zipped:,}",
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in [head, *lines]
    )

"""`python -m benchmarks`: measures speed and memory, prints the tables and writes them to benchmarks/results/."""

import argparse
import datetime
import pathlib
import shlex
import sys
import time

from benchmarks import machine, measure, plan, report

_SECTIONS = (*plan.STEPS, "fit", "first-fit", "memory")
_ROOT = pathlib.Path(__file__).parents[1]


def main(arguments=None):
    options = _parser().parse_args(arguments)
    sections = options.only or _SECTIONS
    complete = set(sections) == set(_SECTIONS) and not options.quick and not options.cpu_time
    # Only a complete run may replace the numbers that the README quotes.
    folder = options.out or _ROOT / ("benchmarks/results" if complete else "out/benchmarks")
    about = machine.describe(options.threads)
    _, notes = measure.available(plan.CONTENDERS | plan.FIT_CONTENDERS)
    records = list(_measure(sections, options, _progress()))
    about["load_after"] = machine.load()
    result = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(
            ["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)]
        ),
        "machine": about,
        "notes": notes,
        "bars": report.held_against_bars(records),
        "records": records,
    }
    paths = report.write(result, folder, options.name)
    print(report.markdown(result))
    print("Written:", *paths)


def _measure(sections, options, say):
    quick = options.quick
    steps = [section for section in sections if section in plan.STEPS]
    rounds = options.rounds or (2 if quick else 9)
    with measure.Pool(options.threads, options.cpu_time) as pool:
        if steps:
            cases = [
                (s, shape) for s in steps for shape in (plan.QUICK_GRID if quick else plan.STEPS[s].shapes)
            ]
            yield from measure.steps(pool, cases, rounds, 0.02 if quick else 0.25, say)
        if "fit" in sections:
            yield from measure.fits(pool, plan.QUICK_FIT_MODELS if quick else plan.FIT_MODELS, rounds, say)
    if "first-fit" in sections:
        models = plan.QUICK_FIT_MODELS if quick else plan.FIRST_FIT_MODELS
        yield from measure.first_fits(models, min(rounds, 3), options.threads, say)
    if "memory" in sections:
        contenders = plan.QUICK_MEMORY_CONTENDERS if quick else plan.MEMORY_CONTENDERS
        shape, runs = (plan.QUICK_LONG, 1) if quick else (plan.LONG, 3)
        yield from measure.memory(contenders, shape, runs, options.threads, say)


def _progress():
    start = time.monotonic()
    return lambda text: print(f"{time.monotonic() - start:6.0f} s  {text}", file=sys.stderr, flush=True)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="run one small case of each, to see that it works"
    )
    parser.add_argument("--only", nargs="+", choices=_SECTIONS, metavar="SECTION", help=", ".join(_SECTIONS))
    parser.add_argument("--rounds", type=int, help="rounds per contender (default 9; 2 with --quick)")
    parser.add_argument(
        "--threads", type=int, default=2, help="cores that each contender may use (default 2)"
    )
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="CPU time instead of elapsed time, with --threads 1: for a machine that is not idle",
    )
    parser.add_argument("--out", type=pathlib.Path, help="folder for the two files (default: benchmarks/results; "
                        "out/benchmarks unless everything is measured in full)")  # fmt: skip
    parser.add_argument(
        "--name", default="latest", help="name of the files, without suffix (default: latest)"
    )
    return parser


if __name__ == "__main__":
    main()

"""`python -m benchmarks.evidence`: measures what README and docs claim, and writes one report.

    python -m benchmarks.evidence                    # everything: about three hours on two cores
    python -m benchmarks.evidence --quick            # one seed, tiny sizes: whether it works, in two minutes
    python -m benchmarks.evidence adding copying     # these again; the others stay as they were
    python -m benchmarks.evidence --report           # writes the report again, from what was measured

Each experiment runs in a process of its own, on one thread. What was measured is kept at once, so that a run that was
stopped goes on where it was when started again; where the committed results lack something, in another clone, too. The
full run writes evidence.json, .md and .html to benchmarks/results and the tables into the pages of docs/ that quote
them; the quick one writes to build/evidence-quick. Needs the extras `examples`, `plots` and `micro`.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
ORDER = ("adding", "copying", "temporal_order", "digits", "gradient_decay", "export_matrix", "peers")


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"of {', '.join(ORDER)}")
    parser.add_argument("--quick", action="store_true", help="one seed, tiny sizes")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    chosen = options.experiments or list(ORDER)
    if unknown := set(chosen) - set(ORDER):
        parser.error(f"unknown experiment {', '.join(sorted(unknown))}; choose from {', '.join(ORDER)}")
    if options.child:
        measure(chosen[0], options.quick, options.child)
        return 0
    folder = ROOT / ("build/evidence-quick" if options.quick else "benchmarks/results")
    unfinished = ROOT / "build" / ("evidence-quick" if options.quick else "evidence") / "unfinished.json"
    for path in (folder, unfinished.parent):
        path.mkdir(parents=True, exist_ok=True)
    from benchmarks.evidence import report

    failed = []
    if not options.report:
        report.take_back(chosen, folder, unfinished, options.quick)
        failed = [name for name in chosen if not run(name, options.quick, unfinished)]
    report.update(folder, unfinished, options.quick, () if options.quick else ROOT.glob("docs/*.md"))
    for name in failed:
        print(f"{name}: failed; run it again with `python -m benchmarks.evidence {name}`", file=sys.stderr)
    return 1 if failed else 0


def run(name, quick, unfinished):
    """Measures one experiment in a process of its own; whether it ended well."""
    command = [sys.executable, "-m", "benchmarks.evidence", name, "--child", str(unfinished)]
    threads = dict.fromkeys(
        ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    environment = os.environ | threads | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, *["--quick"] * quick], env=environment, check=False).returncode == 0


def measure(name, quick, unfinished):
    """Measures the parts and seeds of an experiment that the file lacks."""
    from benchmarks.evidence import experiments, measured

    experiment = experiments.load(name)
    parts = experiment.parts(quick)
    kept = measured.read(unfinished).get(name, {}).get("figures", {})
    for part, seed in experiment.missing(kept, quick):
        start = time.perf_counter()
        figures = experiment.measure(*parts[part], seed=seed, quick=quick)
        seconds = time.perf_counter() - start
        measured.add(unfinished, name, part, seed, figures, seconds)
        shown = ", ".join(f"{key} {value:.4g}" for key, value in figures.items() if _is_number(value))
        print(f"{name}: {part}, seed {seed}: {shown} ({seconds:.0f} s)", flush=True)


def _is_number(value):
    return isinstance(value, int | float)


if __name__ == "__main__":
    sys.exit(main())

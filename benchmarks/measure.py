"""The measurements: each section yields one record per case and contender."""

import importlib.util
import itertools
import statistics

from benchmarks import plan
from benchmarks.worker import Worker
from keras_vrnn.native import sources

# Relative difference of RMS values: the same float32 computation in a different order, over up to 2000 steps.
_SAME = 2e-3

# MiB; less than this is noise, and a ratio needs a positive number.
_LEAST_MEMORY = 0.1


def available(contenders):
    """Returns the contenders that can run here, and a sentence about each of the others."""
    notes = {}
    for name, contender in contenders.items():
        if importlib.util.find_spec(contender.backend) is None:
            remedy = '`pip install "keras-vrnn[benchmarks]"` brings it.'
            notes[name] = f"{name} is left out: {contender.backend} is not installed. {remedy}"
        elif contender.native and not sources.library().is_file():
            notes[name] = f"{name} is left out: the native kernel is not built. `make native` builds it."
    return {n: contender for n, contender in contenders.items() if n not in notes}, [*notes.values()]


class Pool:
    """One worker per library, started when it is first needed."""

    def __init__(self, threads, cpu_time=False):
        self.threads, self.cpu_time = threads, cpu_time
        self._workers = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self._workers.values():
            worker.close()

    def prepare(self, contenders, module, *arguments):
        """Builds and warms up every contender's job; returns the summary of each result."""
        for contender in contenders.values():
            if contender.backend not in self._workers:
                self._workers[contender.backend] = Worker(contender.backend, self.threads, self.cpu_time)
        return {n: self._workers[c.backend].prepare(c, module, *arguments) for n, c in contenders.items()}

    def in_turn(self, contenders, rounds, seconds, least=3):
        """Returns the times of each contender. They alternate, so that a drift of the machine affects all alike."""
        times = {name: [] for name in contenders}
        for turn in range(rounds):
            names = list(contenders)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                contender = contenders[name]
                times[name] += self._workers[contender.backend].run(contender, seconds, least)
        return times


def steps(pool, cases, rounds, seconds, say):
    """Times steps: pairs of a section and a shape; yields records in milliseconds."""
    contenders, _ = available(plan.CONTENDERS)
    for section, shape in cases:
        say(f"{section} {shape}")
        summaries = pool.prepare(contenders, "steps", plan.STEPS[section], shape)
        require_equal(f"{section} {shape}", summaries)
        yield from _records(section, shape, shape.units, pool.in_turn(contenders, rounds, seconds))


def fits(pool, models, rounds, say):
    """Times `fit`, `evaluate` and `predict`; yields records in milliseconds per batch."""
    contenders, _ = available(plan.FIT_CONTENDERS)
    for model, (section, (method, verbose)) in itertools.product(models, plan.FIT_SECTIONS.items()):
        say(f"{section} {model}")
        pool.prepare(contenders, "fit", model, method, verbose)
        yield from _records(section, model, model.shape.units, pool.in_turn(contenders, rounds, 0, least=1))


def first_fits(models, rounds, threads, say):
    """Times the first `fit` of new processes, with tracing and compiling; yields records in milliseconds per update."""
    contenders, _ = available(plan.FIT_CONTENDERS)
    for model in models:
        times = {name: [] for name in contenders}
        for _, (name, contender) in itertools.product(range(rounds), contenders.items()):
            say(f"first fit {model} {name}")
            with Worker(contender.backend, threads) as worker:
                times[name].append(worker.first(contender, "fit", model, "fit", 0))
        yield from _records("first-fit", model, model.shape.units, times)


def memory(contenders, shape, runs, threads, say):
    """Yields records in MiB: a step's memory above its inputs over all time steps, minus the same for 4 time steps.

    Whatever does not grow with time cancels: compiling, weights, the library's own pools.
    """
    for section, name in itertools.product(("train", "train-last"), contenders):
        say(f"memory {section} {name}")
        contender = plan.CONTENDERS[name]
        peaks = {4: [], None: []}
        for _, time in itertools.product(range(runs), peaks):
            with Worker(contender.backend, threads) as worker:
                peaks[time].append(worker.memory(contender, "steps", plan.STEPS[section], shape, time))
        base = statistics.median(peaks[4])
        growth = [max(peak - base, _LEAST_MEMORY) for peak in peaks[None]]
        yield from _records("memory", f"{section} {shape}", shape.units, {name: growth})


def _records(section, case, units, values):
    for contender, numbers in values.items():
        ordered = sorted(numbers)
        yield {
            "section": section,
            "case": str(case),
            "units": units,
            "contender": contender,
            "median": statistics.median(ordered),
            "lower_quartile": ordered[len(ordered) // 4],
            "upper_quartile": ordered[(3 * len(ordered)) // 4],
            "count": len(ordered),
        }


def require_equal(case, summaries):
    """Raises RuntimeError unless all contenders computed the same."""
    known = {name: values for name, values in summaries.items() if values is not None}
    reference = next(iter(known.values()))
    for name, values in known.items():
        same = len(values) == len(reference) and all(
            abs(a - b) <= _SAME * abs(b) for a, b in zip(values, reference, strict=True)
        )
        if not same:
            raise RuntimeError(f"{case}: {name} computes {values}, {next(iter(known))} {reference}.")

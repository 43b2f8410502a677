"""`python -m benchmarks.memory_growth`: memory of a train step with the last output, by number of time steps.

Prints the MiB of the process above inputs and weights, including compiling: the growth along a row is the recurrence.
"""

import argparse
import dataclasses

from benchmarks import plan
from benchmarks.worker import Worker

TIMES = (4, 500, 1000, 2000, 4000)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_growth", description=__doc__)
    parser.add_argument(
        "--times", nargs="+", type=int, default=TIMES, metavar="T", help="numbers of time steps"
    )
    times = parser.parse_args().times
    print(f"| T | {' | '.join(map(str, times))} |\n|{' --- |' * (len(times) + 1)}")
    for name, row in growth(times):
        print(f"| {name} | {' | '.join(f'{peak:.0f}' for peak in row)} |", flush=True)


def growth(times):
    """Yields each contender with its peaks in MiB, one per number of time steps."""
    for name in plan.MEMORY_CONTENDERS:
        contender, row = plan.CONTENDERS[name], []
        for time in times:
            shape = dataclasses.replace(plan.LONG, time=time)
            with Worker(contender.backend, 2) as worker:
                row.append(worker.memory(contender, "steps", plan.STEPS["train-last"], shape, None))
        yield name, row


if __name__ == "__main__":
    main()

"""A process that computes with one library.

A process has a single Keras backend, and other libraries would disturb its thread pools. Each library therefore gets a
process of its own, which waits on a pipe while the others run.
"""

import importlib
import multiprocessing
import os
import threading
import time
import traceback

from benchmarks.memory import peak_above_now

# Compiling, autotuning and the first use of memory pages have ended after this number of calls and seconds.
_WARM_CALLS, _WARM_SECONDS = 3, 0.3


class Worker:
    """The parent's end of the process.

    Args:
        library: Module that does the arithmetic; for Keras, its backend.
        threads: Number of cores that it may use.
        cpu_time: Whether calls are timed by the clock of the process, which stands while others run.
    """

    def __init__(self, library, threads, cpu_time=False):
        # spawn: TensorFlow and JAX do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, library, threads, cpu_time), daemon=True)
        self._process.start()
        theirs.close()

    def prepare(self, contender, module, *arguments):
        """Builds and warms up `benchmarks.<module>.build(contender, *arguments)`, replacing the contender's last job.

        Returns:
            A summary of the result, which shows whether contenders compute the same, or None.
        """
        return self._ask("prepare", contender, module, arguments)

    def run(self, contender, seconds, least=3):
        """Calls the job for that many seconds; returns the milliseconds of each call, divided by the steps in it."""
        return self._ask("run", contender, seconds, least)

    def first(self, contender, module, *arguments):
        """Builds the job and calls it once; returns the milliseconds of the call, divided by the steps in it."""
        return self._ask("first", contender, module, arguments)

    def memory(self, contender, module, *arguments):
        """Builds the job and calls it; returns the peak memory of its first calls above inputs and weights, in MiB."""
        return self._ask("memory", contender, module, arguments)

    def close(self):
        self._connection.close()
        self._process.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _ask(self, *request):
        try:
            self._connection.send(request)
            ok, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise RuntimeError(f"The process ended with {self._process.exitcode} at {request}.") from None
        if not ok:
            raise RuntimeError(f"{request} failed:\n{answer}")
        return answer


def _serve(connection, library, threads, cpu_time):
    _settle(library, threads)
    jobs = {}
    while True:
        try:
            action, *arguments = connection.recv()
        except EOFError:
            return
        try:
            if action == "prepare":
                contender = arguments[0]
                jobs.pop(contender, None)
                jobs[contender] = _build(*arguments)
                answer = _warm_up(jobs[contender])
            elif action == "run":
                contender, *arguments = arguments
                clock = time.process_time if cpu_time else time.perf_counter
                answer = _timed(jobs[contender], *arguments, clock)
            elif action == "first":
                (answer,) = _timed(_build(*arguments), 0, 1, time.perf_counter)
            else:
                answer = _peak_above_inputs(_build(*arguments))
            connection.send((True, answer))
        except Exception:  # sent to the parent, which raises it
            connection.send((False, traceback.format_exc()))


def _build(contender, module, arguments):
    return importlib.import_module(f"benchmarks.{module}").build(contender, *arguments)


def _settle(library, threads):
    """Sets cores, threads and backend, before any library is loaded."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = str(threads)
    os.environ["KERAS_BACKEND"] = library
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    _output_to_a_terminal()


def _output_to_a_terminal():
    """Gives progress bars a terminal, as users have, so that their cost counts. Errors go to the parent instead."""
    reader, writer = os.openpty()
    os.dup2(writer, 1)
    os.dup2(writer, 2)

    def drain():
        while os.read(reader, 65536):
            pass

    threading.Thread(target=drain, daemon=True).start()


def _warm_up(job):
    start, calls = time.perf_counter(), 0
    while calls < job.warm_calls or time.perf_counter() - start < job.warm_seconds:
        result = job.call()
        calls += 1
    return job.summary(result)


def _timed(job, seconds, least, clock):
    times, start = [], clock()
    while len(times) < least or clock() - start < seconds:
        before = clock()
        job.call()
        times.append((clock() - before) * 1e3 / job.steps)
    return times


class Job:
    """The work of one contender, as returned by `build` of a module.

    Args:
        call: Function that blocks until the result is computed, and returns it.
        steps: Steps in one call.
        summary: Function that turns the result of a call into a list of floats.
        warm_calls, warm_seconds: Calls and seconds before anything is measured.
    """

    def __init__(
        self, call, steps=1, summary=lambda result: None, warm_calls=_WARM_CALLS, warm_seconds=_WARM_SECONDS
    ):
        self.call, self.steps, self.summary = call, steps, summary
        self.warm_calls, self.warm_seconds = warm_calls, warm_seconds


def _peak_above_inputs(job):
    return peak_above_now(lambda: [job.call() for _ in range(job.warm_calls)])

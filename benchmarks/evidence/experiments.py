"""Finds an experiment by its name, which is that of its module."""

import importlib

from benchmarks.evidence.experiment import Experiment


def load(name: str) -> Experiment:
    return importlib.import_module(f"benchmarks.evidence.{name}").EXPERIMENT

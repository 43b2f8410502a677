"""The machine and the versions that a result belongs to."""

import importlib.metadata
import os
import pathlib
import platform

import keras_vrnn

_PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy")


def describe(threads):
    """Returns CPU, cores, load, system and versions as a dict."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load_before": load(),
        "versions": {"keras-vrnn": keras_vrnn.__version__, **_versions()},
    }


def load():
    """Returns the load average of the last minute, or NaN if the system does not provide it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def _cpu():
    info = pathlib.Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions():
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

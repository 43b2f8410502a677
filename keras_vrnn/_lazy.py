"""Names of a package that are imported on first use (PEP 562).

A type checker cannot follow them. A lazy package therefore lists its names a second time, as imports under
`if TYPE_CHECKING`; tests/test_types.py compares the two lists.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any


def names_of(
    package: str, modules: dict[str, str], extras: dict[str, str] | None = None
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the `__all__`, `__getattr__` and `__dir__` of a package.

    Args:
        package: Its `__name__`.
        modules: Public name → module that defines it. A name equal to the last part of the module is the module itself.
        extras: Public name → package of an optional extra that it is from. Where that is not installed, the name is not
            listed, so that `help` and `import *` pass it over; to ask for it still raises the module's own error.
    """

    def getattribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name])
        value = module if module.__name__.endswith(f".{name}") else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(name for name in modules if name not in (extras or {}) or _is_installed(extras[name]))
    return names, getattribute, lambda: names


def _is_installed(package):
    return importlib.util.find_spec(package) is not None

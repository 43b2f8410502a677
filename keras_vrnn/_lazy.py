"""Names that a package hands on when they are asked for (PEP 562)."""

import importlib
import sys


def names_of(package, modules):
    """Makes the `__all__`, `__getattr__` and `__dir__` of a package.

    Args:
        package: its `__name__`.
        modules: public name → module that defines it. A name equal to the module's last part is the module itself.
    """

    def getattribute(name):
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name])
        value = module if module.__name__.endswith(f".{name}") else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(modules)
    return names, getattribute, lambda: names

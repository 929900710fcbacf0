"""Finding the classes that are there: a new one is a new file, named after what configurations call it."""

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

Base = TypeVar("Base")


def discover(package: ModuleType, base: type[Base]) -> dict[str, type[Base]]:
    """The concrete subclass of `base` that each module of `package` defines, by the module's name.

    >>> import passion.objectives
    >>> sorted(discover(passion.objectives, passion.objectives.Objective))
    ['baseline', 'moddrop', 'passion', 'pmr']
    """
    found = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = import_module(f"{package.__name__}.{module_info.name}")
        for value in vars(module).values():
            here = inspect.isclass(value) and value.__module__ == module.__name__
            if here and issubclass(value, base) and not inspect.isabstract(value):
                found[module_info.name] = value
    return found

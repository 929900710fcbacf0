"""Finding the classes that are there: a new one is a new file, named after what configurations call it."""

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from passion.errors import InputError

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


def import_class(path: str, base: type[Base]) -> type[Base]:
    """The class that `path` names, such as `torch.nn.Linear`.

    Raises:
        InputError: it cannot be imported, or is no subclass of `base`.

    >>> import torch
    >>> import_class("torch.nn.Linear", torch.nn.Module)
    <class 'torch.nn.modules.linear.Linear'>
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"class {path!r} cannot be imported ({error}); is it installed, or on PYTHONPATH?") from error
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise InputError(f"{path!r} is no {base.__name__}")
    return found

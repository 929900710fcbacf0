"""Dataclasses from what JSON and YAML hold, each value compared with its annotation."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from passion.errors import InputError

Made = TypeVar("Made")

SCALARS = {bool: (bool,), int: (int,), float: (int, float), str: (str,), Path: (str,), NoneType: (NoneType,)}
"""What a plain value has to be for each annotation."""

WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "Path": "a path", "str": "a text",
    "list[int]": "a list of whole numbers", "list": "a list", "tuple": "a list", "Mapping": "names with values",
    "NoneType": "null",
}  # fmt: skip
"""What types are called, for people."""


def build(cls: type[Made], value: object, name: str = "") -> Made:
    """A dataclass from names and values; what is left out has its default.

    Args:
        cls: a dataclass whose fields are plain values, containers of them or further dataclasses.
        value: as JSON or YAML gives it.
        name: of the whole, for messages.

    Raises:
        InputError: naming the first entry that does not fit; no file is named.

    >>> from passion.data.study import Region
    >>> build(Region, {"classes": ["core", "edema"]})
    Region(classes=('core', 'edema'), minimum_mm3=0.0, averaged=True)
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{name or 'the content'} is {_short(value)}, expected names with values")
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    unknown = [key for key in value if key not in known]
    if unknown:
        raise InputError(f"{_joined(name, unknown[0])} is unknown; there are: {', '.join(known)}")
    for key, field in known.items():
        if key not in value and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{_joined(name, key)} is missing")
    return cls(**{key: _convert(hints[key], entry, _joined(name, key)) for key, entry in value.items()})


def _convert(hint: Any, value: object, name: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _first_that_fits(arguments, value, name)
    if is_dataclass(hint):
        return build(hint, value, name)  # type: ignore[arg-type]
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return origin(_convert(arguments[0], entry, f"{name}[{index}]") for index, entry in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _convert(arguments[1], entry, _joined(name, key)) for key, entry in value.items()}
    if hint is Any or (origin is Literal and any(value == one and type(value) is type(one) for one in arguments)):
        return value
    if type(value) in SCALARS.get(hint, ()):
        with suppress(OverflowError):
            return hint(value) if hint in (float, Path) else value
    raise InputError(f"{name} is {_short(value)}, expected {_described(hint)}")


def _first_that_fits(hints: tuple[Any, ...], value: object, name: str) -> Any:
    for hint in hints:
        try:
            return _convert(hint, value, name)
        except InputError:
            continue
    raise InputError(f"{name} is {_short(value)}, expected {' or '.join(map(_described, hints))}")


def _described(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    name = getattr(hint, "__name__", str(hint))
    return WORDS.get(name, name)


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _short(value: object) -> str:
    return f"{value!r:.80}"

"""Balancing methods, one a file."""

import sys

from passion.errors import InputError
from passion.objectives.contract import Losses, Objective, Term
from passion.objectives.passion import Passion, measure_preference
from passion.plugins import discover

OBJECTIVES: dict[str, type[Objective]] = discover(sys.modules[__name__], Objective)  # type: ignore[type-abstract]
"""Objectives by the name that configurations use."""


def objective_class(name: str) -> type[Objective]:
    """The class of that name.

    Raises:
        InputError: no objective has that name.
    """
    if name not in OBJECTIVES:
        raise InputError(f"objective {name!r} is unknown; there are: {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]


__all__ = ["OBJECTIVES", "Losses", "Objective", "Passion", "Term", "measure_preference", "objective_class"]

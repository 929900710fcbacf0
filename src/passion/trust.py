"""Which classes a run folder may name: to import one is to execute its module, and folders are sent around."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passion.errors import InputError

VARIABLE = "PASSION_TRUST"
"""Environment variable with the packages, separated by commas, whose classes may be imported."""

LIBRARY = ("passion.networks", "monai.networks")
"""Packages of which nothing happens but that a network is built."""

FETCHING = "pretrained"
"""What arguments are called by which networks of the library get files from elsewhere."""


def check_trusted(network: Mapping[str, Any], path: Path) -> None:
    """Refuse the network of a run folder if to build it could execute what nobody here has agreed to.

    Args:
        network: its configuration.
        path: of the file that it stands in.

    Raises:
        InputError: with what to set if the class is trusted.
    """
    arguments = network.get("init_args")
    fetches = isinstance(arguments, Mapping) and any(str(key).startswith(FETCHING) for key in arguments)
    agreed = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    harmless = agreed if fetches else [*agreed, *LIBRARY]
    for named in (str(network[key]) for key in ("name", "class_path") if key in network):
        if "." in named and not any(f"{named}.".startswith(f"{package}.") for package in harmless):
            what = "gets files from elsewhere" if fetches else "executes code that is not this library's"
            raise InputError(
                f"{path}: the network is {named!r:.100}, and building it {what}; if you trust it, set "
                f"{VARIABLE}={named.partition('.')[0]:.100} in the environment"
            )

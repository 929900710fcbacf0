"""Text files that somebody wrote: JSON, YAML and CSV, with every reason for which one can be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from passion.errors import InputError


class _PlainLoader(yaml.SafeLoader):
    """YAML without tags that build objects, and without aliases, by which a few lines can stand for terabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See `yaml`."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read, write out what they stand for", problem_mark=mark)
        return super().compose_node(parent, index)


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have is no reason to stop."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_json(path: Path, remedy: str = "repair the file") -> Any:
    """What a JSON file holds.

    Args:
        path: of the file.
        remedy: what to do if it cannot be read.

    Raises:
        InputError: missing, unreadable, or not JSON.
    """
    return _parsed(path, json.loads, "JSON", remedy)


def read_yaml(path: Path, remedy: str = "repair the file") -> Any:
    """What a YAML file holds, plain values only; see `read_json`.

    Raises:
        InputError: missing, unreadable, not YAML, or with aliases or objects in it.
    """
    return _parsed(path, lambda text: yaml.load(text, _PlainLoader), "YAML", remedy)


def _parsed(path: Path, parse: Callable[[str], Any], what: str, remedy: str) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as {what} ({_reason(error)}); {remedy}") from error
    except (RecursionError, AttributeError, KeyError, TypeError) as error:
        # PyYAML stumbles over some tags, and both over deep nesting, with the exceptions of a programme's own mistake.
        raise InputError(f"{path}: cannot be read as {what} ({type(error).__name__}); {remedy}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"{' '.join(error.problem.split())}, line {error.problem_mark.line + 1}"
    return " ".join(str(error).split())

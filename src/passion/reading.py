"""Text files that somebody wrote: JSON, YAML and CSV, with every reason for which one can be refused."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from passion.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


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


def read_table(path: Path, columns: Sequence[str], remedy: str = "repair the file") -> "pd.DataFrame":
    """A CSV file as text, with at least `columns`, which commas or, as spreadsheets write it, semicolons or tabs part.

    Empty rows, and spaces around words, are nothing.

    Args:
        path: of the file.
        columns: that it must have.
        remedy: what to do if it cannot be read.

    Raises:
        InputError: unreadable, or a column is missing.
    """
    # Commands that read no table start sooner without it.
    import pandas as pd

    try:
        with path.open(encoding="utf-8") as file:
            header = file.readline()
        mark = max(",;\t", key=header.count)
        table = pd.read_csv(path, sep=mark, dtype=str, keep_default_na=False).fillna("")
        table.columns = table.columns.str.strip()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not written in UTF-8; save it as CSV UTF-8") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({_reason(error)}); {remedy}") from error
    # pandas takes what is too much in every row for the rows' names.
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: its rows have more cells than there are columns; correct the first line")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]!r}, only {', '.join(table.columns)}; {remedy}")
    words: pd.DataFrame = table.apply(lambda column: column.str.strip())
    return words.loc[(words != "").any(axis=1)].reset_index(drop=True)


def match_names(names: Sequence[str], cases: Sequence[str], source: str | Path) -> list[str]:
    """Case names for `names`, which may carry the prefix `HG_` or `LG_` of the published lists.

    Raises:
        InputError: a name that is not a case's, or one that is listed twice.
    """
    known = set(cases)
    matched = [name if name in known else name.removeprefix("HG_").removeprefix("LG_") for name in names]
    unknown = [name for name, match in zip(names, matched, strict=True) if match not in known]
    if unknown:
        raise InputError(f"{source}: case {unknown[0]!r} is not in the study ({len(unknown)} such names)")
    check_unique(matched, source)
    return matched


def check_unique(names: Sequence[str], source: str | Path) -> None:
    """Refuse a list with a name in it twice.

    Raises:
        InputError: naming the first such name.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{source}: case {twice!r} is listed twice; keep one")

"""From the words of a command line to the arguments of the command's function."""

import re
from argparse import Action
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from passion import run_files
from passion.errors import InputError
from passion.plugins import import_class
from passion.reading import read_yaml
from passion.typed import WORDS

EARLY_FUSION = "early_fusion"
"""The network that wraps an ordinary one."""


SWITCHES = ("--resume", "--json", "--complete", "--link", "--retry", "--skip-broken", "--serve", "--mirror")
"""Options that are given without a value."""


LITERAL = r"(?:typing\.)?Literal\[(?P<choices>[^\]]*)\]"
ONE_TYPE = re.compile(rf"{LITERAL}|<class '(?:\w+\.)*(?P<name>\w+)'>|(?P<list>list\[int\])")


SHOWN = (
    (r" \| null", ""),
    (r"(, | \()default: null", r"\1"),
    (r"type: (?:Optional|Union|Literal)\[.*\](?:, )?(?=default: |\)$)", ""),
    (r"type: <class '(?:\w+\.)*(\w+)'>", r"type: \1"),
    (r"type: Path", "type: path"),
    (r"(?:, )?\)$", ")"),
    (r"[.,]? \(\)$", "."),
)
"""What help makes of types: those of choices that stand there already, and of nothing, are left out."""


class Formatter(DefaultHelpFormatter):  # type: ignore[misc]
    """Help with types as people call them."""

    def _expand_help(self, action: Action) -> str:
        text: str = super()._expand_help(action)
        for pattern, better in SHOWN:
            text = re.sub(pattern, better, text)
        return text


class Parser(ArgumentParser):  # type: ignore[misc]
    """A parser that says what is wrong in one line, knows `-o` as short for `--out`, and has flags without a value.

    Options are written out: the beginning of one would be taken for another that a run has in its place, such as `--t1`
    for `--t1c`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Options whose type is a class have parsers of their own, which are made by this too.
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": Formatter, **kwargs})
        self.remedy = f"see `{self.prog} --help`"
        self.guesses = True

    def add_argument(self, *args: Any, **kwargs: Any) -> Any:
        """See `argparse`."""
        if args == ("--out",):
            args = ("-o", "--out")
        if args == ("--skip_broken",):
            args = ("--skip-broken",)
        if args and args[0] in SWITCHES:
            kwargs = {"action": "store_true", "help": kwargs.get("help")}
        return super().add_argument(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what the command line prints."""
        raise InputError(f"{self._reason(' '.join(message.split()))}; {self.remedy}") from ex

    def _reason(self, message: str) -> str:
        """What is wrong, by the names of options."""
        forms = ("Subtypes: .* Given value: ", r"Expected a .*?\. Got value: ")
        matches = (re.fullmatch(rf'Parser key "([\w.]+)": (.*?{form})(.*)', message) for form in forms)
        unfit = next(filter(None, matches), None)
        if unfit:
            return f"{self._shown(unfit[1])} {unfit[3]}: must be {_wanted(unfit[2])}"
        missing = re.fullmatch(r"the following arguments are required: (.*)", message)
        if missing:
            return f"{', '.join(map(self._shown, missing[1].split(', ')))}: missing"
        unknown = re.match(r"unrecognized arguments: (-[^\s=]*)", message, re.IGNORECASE)
        close = get_close_matches(unknown[1], self._option_string_actions, 1) if unknown and self.guesses else []
        return f"{message}; do you mean {close[0]}?" if close else message

    def _shown(self, key: str) -> str:
        """How a value is given: the option, or the name of what stands without one."""
        named = (name for action in self._actions if action.dest == key for name in reversed(action.option_strings))
        return next((name for name in named if not name.endswith("+")), key.upper())


def _wanted(types: str) -> str:
    """Types as the parser lists them, for people.

    >>> _wanted("Expected a typing.Literal['val', 'test']"), _wanted("Subtypes: [<class 'int'>, list[int]] Errors: ...")
    ('val or test', 'a whole number or a list of whole numbers')
    """
    words: list[str] = []
    for found in ONE_TYPE.finditer(types.partition(" Errors: ")[0]):
        choices = re.sub(r"['\"]", "", found["choices"]).split(", ") if found["choices"] else []
        words += choices or [WORDS.get(found["name"] or found["list"], found["name"] or found["list"])]
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def parse(name: str, function: Callable[..., Any], words: Sequence[str]) -> dict[str, Any]:
    """Arguments of `function`, which the command `name` runs, from the words after the command.

    Raises:
        InputError: an unknown or wrong option.
    """
    summary = (function.__doc__ or "").splitlines()[0]
    parser = Parser(prog=f"passion {name}", description=summary)
    special = {
        "train": _parse_train, "predict": _parse_predict, "report": _parse_runs, "compare": _parse_runs,
        "experiment": _parse_experiment,
    }  # fmt: skip
    return special.get(name, _parse_plain)(parser, function, list(words))


def _parse_plain(parser: Parser, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    parser.add_function_arguments(function, as_group=False, as_positional=True)
    return dict(vars(parser.parse_args(words)))


def _parse_runs(parser: Parser, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs; report takes that of an experiment too")
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={"runs"})
    return dict(vars(parser.parse_args(words)))


def _parse_experiment(parser: Parser, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    parser.add_argument("tables", nargs="+", help="table1, table2, table3, or YAML files of your own")
    parser.add_argument("--study", nargs="+", type=Path, required=True, help="folders of prepared studies")
    parser.add_argument("--split", nargs="+", type=Path, default=[], help="CSV file for each study; drawn if not given")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what there is to do and how long it will take; nothing is trained"
    )
    own = {"tables", "study", "split", "dry_run"}
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=own)
    return dict(vars(parser.parse_args(words)))


def _parse_predict(parser: Parser, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    modalities = _modalities_of_run(words)
    parser.add_argument("runs", nargs="+", type=Path, help="folder of a run or model, or of several, averaged")
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={"runs", "images"})
    parser.guesses = False
    parser.remedy = f"the run has --{', --'.join(modalities)}; {parser.remedy}"
    for modality in modalities:
        parser.add_argument(f"--{modality}", type=Path, metavar="FILE", help="NIfTI file of this modality")
    arguments = dict(vars(parser.parse_args(words)))
    options = [word.partition("=")[0] for word in words]
    for modality in modalities:
        if options.count(f"--{modality}") > 1:
            raise InputError(f"--{modality}: is given twice; leave one of them out")
    given = {modality: arguments.pop(modality.replace("-", "_")) for modality in modalities}
    return {**arguments, "images": {key: path for key, path in given.items() if path is not None}}


def _modalities_of_run(words: Sequence[str]) -> Sequence[str]:
    """The options of `predict` are the modalities of the run that it is given."""
    if {"-h", "--help"} & set(words) and not any(map(_names_a_study, words)):
        return ["MODALITY"]
    named = [word for word in words if not word.startswith("-")]
    if not named:
        raise InputError("predict: give the folder of a run first")
    folder = next((Path(word) for word in named if _names_a_study(word)), Path(named[0]))
    from passion.data.study import read_run_study

    return read_run_study(folder).modalities


def _names_a_study(word: str) -> bool:
    return any((Path(word) / name).exists() for name in (run_files.STUDY, run_files.MODEL_CARD))


def _parse_train(parser: Parser, function: Callable[..., Any], words: list[str]) -> dict[str, Any]:
    from passion.configuration import NETWORK_FROM_STUDY, OBJECTIVE_FROM_STUDY, Configuration, DataSettings
    from passion.networks import network_class
    from passion.objectives import objective_class
    from passion.training.settings import TrainingSettings

    words = _with_configuration_of_run(words)
    names = _chosen_names(words)
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={"configuration"})
    parser.add_class_arguments(DataSettings, "data")
    parser.add_class_arguments(TrainingSettings, "training")
    for group, cls, skip in (
        ("network", network_class(names["network"]), NETWORK_FROM_STUDY),
        ("objective", objective_class(names["objective"]), OBJECTIVE_FROM_STUDY),
    ):
        parser.add_argument(f"--{group}.name", default=names[group], help=f"which {group}; its options follow")
        parser.add_class_arguments(cls, group, skip=skip, instantiate=False)
        parser.groups[group].title = f"Options of the {group} {names[group]}"
    if "class_path" not in signature(network_class(names["network"])).parameters:
        parser.add_argument("--network.class_path", help="a network of your own instead: module.Class")
    arguments = parser.parse_args(words)
    if names["network"] != EARLY_FUSION:
        arguments.network.pop("class_path")
    objects = parser.instantiate_classes(arguments)
    configuration = Configuration(
        data=objects.data,
        training=objects.training,
        network=_plain(arguments.network),
        objective=_plain(arguments.objective),
    )
    return {"configuration": configuration, "out": arguments.out, "resume": arguments.resume}


def network_of(class_path: str) -> str:
    """What a class of the user's is named by: itself where it is a Segmenter, else the network that wraps it.

    Raises:
        InputError: no such class.
    """
    from torch import nn

    from passion.networks import Segmenter

    return class_path if issubclass(import_class(class_path, nn.Module), Segmenter) else EARLY_FUSION


def _plain(options: Namespace) -> dict[str, Any]:
    values: dict[str, Any] = options.as_dict()
    return {"name": values.pop("name"), **values}


def _option(words: Sequence[str], *names: str) -> list[str]:
    """Values of an option, as `--name value` or `--name=value`."""
    values = []
    for position, word in enumerate(words):
        name, sign, value = word.partition("=")
        if name in names:
            values.append(value if sign else next(iter(words[position + 1 :]), ""))
    return values


def _with_configuration_of_run(words: list[str]) -> list[str]:
    """A resumed run brings its configuration along.

    Raises:
        InputError: there is no run to resume, and nothing is said of what to begin; or a network that is not trusted,
            and that the command line does not name itself.
    """
    from passion.configuration import Configuration
    from passion.run_files import CONFIGURATION
    from passion.trust import check_trusted

    folders = _option(words, "--out", "-o")
    if "--resume" not in words or not folders:
        return words
    own = Path(folders[-1]) / CONFIGURATION
    if own.exists():
        if not _option(words, "--network.class_path"):
            check_trusted(Configuration.from_file(own).network, own)
        return ["--config", str(own), *words]
    if not _option(words, "--config", "--data.prepared") and not {"-h", "--help"} & set(words):
        raise InputError(f"--out {folders[-1]}: there is no run to resume; begin it with all its options")
    return words


def _chosen_names(words: Sequence[str]) -> dict[str, str]:
    """Which network and objective are meant decides which options there are."""
    names = {"network": "mmformer", "objective": "passion"}
    for path in _option(words, "--config"):
        content = read_yaml(Path(path))
        for group in names:
            section = content.get(group) if isinstance(content, dict) else None
            if isinstance(section, dict) and "name" in section:
                names[group] = str(section["name"])
            elif isinstance(section, dict) and "class_path" in section:
                names[group] = network_of(str(section["class_path"]))
    for group in names:
        names[group] = (_option(words, f"--{group}.name") or [names[group]])[-1]
    own = _option(words, "--network.class_path")
    return {**names, "network": network_of(own[-1])} if own else names

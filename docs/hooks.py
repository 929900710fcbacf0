"""What the site adds to Markdown: equations as MathML, doctests as code, the commands' help; nothing from elsewhere."""

import argparse
import html
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

from passion.cli import COMMANDS
from passion.options import Parser, parse

COMMANDS_HERE = "<!-- commands -->"
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
FETCHED = re.compile(
    r'<(?:script|img|iframe|source|link(?! rel="canonical"))\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*"'
)
KINDS = ("network", "objective")
"""What `train` has options for that depend on a name."""


def on_startup(**_: Any) -> None:
    """Keep what PyTorch says to its own developers out of the build's warnings."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")


@event_priority(100)  # before mkdocstrings takes over what docstrings are rendered with
def on_config(config: Any, **_: Any) -> None:
    """Show the doctests of docstrings as what they are, not as quotations."""
    config.markdown_extensions.append(DoctestExtension())


class DoctestExtension(Extension):
    """See `fence_doctests`."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Registered behind what tidies white space and before what looks for fences."""
        md.preprocessors.register(Doctests(md), "doctests", 28)


class Doctests(Preprocessor):
    """See `fence_doctests`."""

    def run(self, lines: list[str]) -> list[str]:
        """All lines of a page or docstring."""
        return list(fence_doctests(lines))


def fence_doctests(lines: Sequence[str]) -> Iterator[str]:
    """The lines, with a fence around what stands from `>>>` to the next empty line."""
    inside = False
    for line in [*lines, ""]:
        if not inside and line.startswith(">>> "):
            inside = True
            yield "```pycon"
        elif inside and not line.strip():
            inside = False
            yield "```"
        yield line


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the help of every command where the page asks for it."""
    if COMMANDS_HERE not in markdown:
        return markdown
    return markdown.replace(COMMANDS_HERE, "\n\n".join(line for name in COMMANDS for line in command_lines(name)))


def on_page_content(content: str, **_: Any) -> str:
    """Turn equations into MathML, which browsers show by themselves."""

    def to_mathml(match: re.Match[str]) -> str:
        return convert(html.unescape(match[2]).strip(), display="block" if match[1] == "div" else "inline")

    return EQUATION.sub(to_mathml, content)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would fetch something from another server.

    Raises:
        PluginError: it would.
    """
    found = FETCHED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri}: fetches from elsewhere: {found[0]}")
    return output


def command_lines(name: str) -> Iterator[str]:
    """Usage and options of a command, as its parser has them; those of `train` for each network and objective."""
    parser = parser_of(name)
    operands = [spelt(action) for action in parser._actions if not action.option_strings]
    yield f"## passion {name} {{ #{name.replace(' ', '-')} }}"
    yield str(parser.description)
    yield f"    passion {' '.join([name, *operands, '[OPTION ...]'])}"
    yield from group_lines(parser, [])
    if name == "train":
        from passion.networks import NETWORKS
        from passion.objectives import OBJECTIVES

        for kind, choices in zip(KINDS, (NETWORKS, OBJECTIVES), strict=True):
            for choice in choices:
                yield from group_lines(parser_of(name, f"--{kind}.name", choice), [kind, choice])


def parser_of(name: str, *words: str) -> argparse.ArgumentParser:
    """The parser that a command's words are given to; it shows itself when it is asked for help."""
    parsers: list[argparse.ArgumentParser] = []
    with patch.object(Parser, "print_help", lambda parser, *_: parsers.append(parser)), suppress(SystemExit):
        parse(name, COMMANDS[name], [*words, "--help"])
    return parsers[0]


def group_lines(parser: argparse.ArgumentParser, choice: Sequence[str]) -> Iterator[str]:
    """A heading and a definition for each option: those of a chosen network or objective, or all others."""
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help and action.default != argparse.SUPPRESS]
        kinds = {
            action.dest.partition(".")[0] for action in actions if not action.dest.endswith(("name", "class_path"))
        }
        if not actions or kinds & set(KINDS) != set(choice[:1]):
            continue
        if choice:
            yield f"### `--{choice[0]}.name {choice[1]}`"
        elif "." in actions[-1].dest:
            yield f"**{group.title}**"
        for action in actions:
            yield f"`{spelt(action)}`\n:   {explained(action)}"


def spelt(action: argparse.Action) -> str:
    """An operand or option as it is typed."""
    value = str(action.metavar or action.dest.rpartition(".")[2].upper())
    if not action.option_strings:
        return value + (" ..." if action.nargs == "+" else "")
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def explained(action: argparse.Action) -> str:
    """What an option is for, and what holds without it."""
    text = html.escape(str(action.help).strip().rstrip("."), quote=False)
    if action.required and action.option_strings:
        return f"{text} (required)"
    return text if action.default is None or action.nargs == 0 else f"{text} (default: `{action.default}`)"

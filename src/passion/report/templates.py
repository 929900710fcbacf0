"""Pages from the templates beside this file; they ask the network for nothing."""

from importlib.resources import files
from typing import Any

from passion.errors import InputError

HERE = files("passion.report")


def check_extras() -> None:
    """Say early that pages or figures cannot be made.

    Raises:
        InputError: no matplotlib or jinja2.
    """
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("report: needs matplotlib and jinja2; pip install 'passion[report]'") from error


def render(name: str, **content: Any) -> str:
    """The page that the template `name` makes of `content`; `style` is the style sheet of all pages."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(read),
    )
    return environment.get_template(name).render(style=read("page.css"), **content)


def read(name: str) -> str:
    """A text file of this package."""
    return HERE.joinpath(name).read_text(encoding="utf-8")

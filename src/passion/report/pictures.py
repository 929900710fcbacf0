"""Figures as pages show them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RP_CAPTION = (
    "Relative preference of each modality over training (the paper's Figure 6): above 0 a modality is "
    "preferred, below 0 neglected; the closer the lines to 0, the more balanced the modalities."
)


@dataclass(frozen=True)
class FigureView:
    """A figure as the template shows it; `width` in CSS pixels at full size."""

    uri: str
    alt: str
    caption: str
    width: int
    height: int


def figure_view(figure: "Figure", alt: str, caption: str) -> FigureView:
    """As the template shows it."""
    # Imported here because matplotlib is optional.
    from passion.report.figures import image_uri

    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return FigureView(image_uri(figure), alt, caption, width, height)

"""Colours of the figures, on white paper and on a dark page."""

INK, FAINT, GRID, PAPER, LINK = "#24292f", "#6e7781", "#e3e6ea", "#ffffff", "#c3c8ce"
RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#101010")
"""Okabe and Ito's palette, distinct for colour-blind eyes; its black a little lighter, since matplotlib writes none."""
MODALITY_COLOURS = ("#332288", "#cc6677", "#117733", "#ddaa33", "#88ccee", "#aa4499", "#999933")
"""After Tol's muted palette; lines and marks differ in their dashes and shapes too."""
CLASS_COLOURS = (
    "#e34a33", "#4db6e8", "#ffe14d", "#782dff", "#a54b69", "#b4ffa5", "#0069c3", "#00ffe1", "#e18787", "#f07800",
    "#e14bff", "#ffb469",
)  # fmt: skip
"""Of masks; told apart over grey images, by colour-blind eyes too: each is as far as can be from those before it."""

DARK = {
    INK: "#e4e8ec", FAINT: "#9aa5b1", GRID: "#303843", LINK: "#55606c",
    "#0072b2": "#3d9be0", "#d55e00": "#ee7d33", "#009e73": "#22b98d", "#101010": "#f4f6f8",
    "#332288": "#9687f2", "#117733": "#43b566", "#aa4499": "#cc6cbd",
}  # fmt: skip
"""What stands for colours that are too dark on a dark page; the others are light enough."""
DARK_PAPER = "#171c23"
"""As the page's own sheets, in page.css."""


def themed(svg: str) -> str:
    """A figure of matplotlib's that has dark paper where its reader prefers dark pages."""
    fills = {f"fill: {PAPER}": f"fill: {DARK_PAPER}"}
    light, dark = [], []
    for number, (here, there) in enumerate({**DARK, **fills}.items()):
        name = f"--colour{number}"
        property_name, _, value = here.rpartition(": ")
        svg = svg.replace(here, f"{property_name}: var({name})" if property_name else f"var({name})")
        light.append(f"{name}: {value}")
        dark.append(f"{name}: {there.rpartition(': ')[2]}")
    rules = (
        f":root {{ {'; '.join(light)} }} "
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {'; '.join(dark)} }} }}"
    )
    return svg.replace("<defs>", f"<style>{rules}</style>\n <defs>", 1)

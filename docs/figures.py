"""The pictures of the docs that are computed: `python docs/figures.py` writes them again."""

from itertools import groupby
from pathlib import Path

import numpy as np

from passion.missingness import draw_presence, presence_of

RATES = {"T1": 0.2, "T1c": 0.4, "FLAIR": 0.6, "T2": 0.8}
CASES = 219
LEFT, COLUMN, ROW, BAR = 110, 3, 34, 26
PRESENT, ABSENT, INK = "#3d84c6", "#8a94a040", "#7b8794"


def presence() -> str:
    """The presence matrix at the rates of the paper's ablation as SVG: a column is a case, sorted by pattern."""
    complete = presence_of({str(number): list(RATES) for number in range(CASES)}, list(RATES))
    drawn = draw_presence(complete, np.array(list(RATES.values())), seed=0)
    order = np.lexsort((~drawn.matrix).T[::-1])
    width, height = LEFT + CASES * COLUMN + 4, ROW * len(RATES) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13">',
        f"<title>{CASES} training cases: present modalities in blue, missing ones in grey</title>",
    ]
    for row, (name, column) in enumerate(zip(RATES, drawn.matrix[order].T, strict=True)):
        top = row * ROW + 4
        rate = drawn.missing_rates[name]
        parts.append(f'<text x="0" y="{top + 18}" fill="{INK}">{name} {100 * rate:.1f} %</text>')
        start = 0
        for there, run in groupby(column.tolist()):
            length = len(list(run))
            box = f'x="{LEFT + start * COLUMN}" y="{top}" width="{length * COLUMN}" height="{BAR}"'
            parts.append(f'<rect {box} fill="{PRESENT if there else ABSENT}"/>')
            start += length
    caption = f"missing; {CASES} cases, sorted by what they have"
    parts.append(f'<text x="0" y="{height - 4}" fill="{INK}">{caption}</text></svg>\n')
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("presence.svg").write_text(presence())

"""The scores of all finished cells of a table, as one tidy table."""

from collections.abc import Sequence

import pandas as pd

from passion.experiments.cells import Place
from passion.experiments.states import State
from passion.experiments.workspace import Workspace

PLACE = ("dataset", "setting", "network", "method", "seed")
SCORES = ("case", "subset", "region", "dice", "hd95", "hd95_pooled", "hd95_reference")


def collect(workspace: Workspace, places: Sequence[Place]) -> pd.DataFrame:
    """Scores on the test cases of the finished cells.

    Returns:
        A row for each place in the table, case, subset and region: dataset, setting, network, method, seed, case,
        subset, region, dice in [0, 1], hd95, hd95_pooled and hd95_reference in mm.
    """
    tables = []
    for place in places:
        if workspace.state(place.cell) is State.DONE:
            path = workspace.scores(place.cell)
            scores = pd.read_csv(path, dtype={"case": str}, keep_default_na=False, na_values=[""])[list(SCORES)]
            words = (place.dataset, place.setting, place.network, place.method)
            for position, (column, word) in enumerate(zip(PLACE, words, strict=False)):
                scores.insert(position, column, word)
            scores.insert(len(words), "seed", place.cell.seed)
            tables.append(scores)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*PLACE, *SCORES])

"""The numbers of the paper's Tables 1 to 3, every printed cell, as tidy tables to lay our own beside.

They were transcribed from a scan of the paper's draft. Where the scan lost a decimal point or a digit, the column
`scanned` keeps what it shows; a number that the table itself contradicts is kept as printed, with a `note`.
"""

from importlib.resources import files
from typing import Literal

import pandas as pd

AVERAGE = "average"
"""In the columns `subset` and `region`: the printed mean over all subsets, over the regions."""

COLUMN_OF = {"dice": "dice", "hd": "hd95_reference"}
"""The column of our scores that was computed as the paper's metric: its HD is the pooled 95th percentile, 1 mm where
exactly one mask is empty. Its Dice is printed in %."""


def paper_table(number: Literal[1, 2, 3]) -> pd.DataFrame:
    """The paper's Table `number`, a row for each printed number.

    Its columns:

    - table: `number`;
    - dataset: BraTS2020 or MyoPS2020;
    - setting: PDT, perfect data; otherwise in Table 1 the order of the small, medium and large rate, such as
      (s,m,l), in Table 2 the rates, in Table 3 IDT;
    - rates: missing rate of each modality, as `passion draw-missing --rates` takes them;
    - network: as `--network.name` calls it;
    - method: Baseline, +ModDrop, +PMR or +PASSION; in Table 2 the components that are added to the baseline,
      +pixel+semantic+delta being PASSION without beta;
    - subset: modalities joined by `+`, or `average`;
    - region: WT, TC, ET; LVB, RVB, MYO; or `average`;
    - metric: `dice`, in %, or `hd`, in mm (see `COLUMN_OF`);
    - value: as printed;
    - scanned, note: see the module; empty nearly everywhere.

    Source: Shi et al., "PASSION: Towards Effective Incomplete Multi-Modal Medical Image Segmentation with Imbalanced
    Missing Rates", ACM MM 2024.

    >>> table = paper_table(3).set_index(["setting", "network", "method", "subset", "region"])
    >>> float(table.loc[("IDT", "mmformer", "+PASSION", "average", "WT"), "value"])
    83.91
    """
    path = files("passion.report").joinpath("paper_tables", f"table{number}.csv")
    with path.open(encoding="utf-8") as lines:
        return pd.read_csv(lines, dtype={"value": float, "scanned": str}, keep_default_na=False)

"""What the docs say was measured is what is recorded."""

import pandas as pd
import pytest
import study_page


def test_the_page_has_the_recorded_tables() -> None:
    page = study_page.PAGE.read_text(encoding="utf-8")
    names = {match["name"] for match in study_page.PART.finditer(page)}
    assert names >= {"progress", *(f"{study} table {number}" for study in study_page.STUDIES for number in (1, 2))}
    assert study_page.filled(page) == page
    assert study_page.filled(study_page.PART.sub(r"\1\3", page)) == page


def test_differences_follow_from_the_recorded_scores() -> None:
    """The mean difference of a row is that of the means over cases and subsets of its masks."""
    scores = study_page.recorded("table1")
    regions = {"BraTS2020": ["WT", "TC", "ET"], "MyoPS2020": ["LVB", "RVB", "MYO"]}
    for dataset, own in regions.items():
        found = study_page.averages(dataset, "table1").dropna(subset=["gain"])
        rows = scores[(scores["dataset"] == dataset) & scores["region"].isin(own)]
        for _, row in found[found["setting"] != study_page.EVERY].iterrows():
            here = rows[rows["setting"] == row["setting"]]
            seeds = [set(here.loc[here["method"] == name, "seed"]) for name in ("Baseline", row["method"])]
            means = here[here["seed"].isin(seeds[0] & seeds[1])].groupby("method")["dice"].mean()
            assert 100 * (means[row["method"]] - means["Baseline"]) == pytest.approx(row["gain"], abs=0.011)


def test_seeds_average_to_what_stands_for_all_of_them() -> None:
    seeds = study_page.recorded("seeds")
    cell = ["setting", "network", "method"]
    for (table, dataset), own in seeds.groupby(["table", "dataset"]):
        gains = study_page.averages(dataset, table).set_index(cell)["gain"].dropna()
        means = own.groupby(cell)["difference"].mean()
        pd.testing.assert_series_equal(means, gains.loc[means.index], check_names=False, atol=1e-5)


def test_a_table_without_rows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {name: study_page.recorded(name).iloc[:0] for name in ("summary", "modality-counts")}
    monkeypatch.setattr(study_page, "recorded", empty.__getitem__)
    for name in ("brains table 1", "hearts table 2", "brains table 3", "hearts counts"):
        assert study_page.part(name) == "None of it is finished."


def test_only_sure_differences_are_bold() -> None:
    row = pd.Series({"gain": 1.0, "gain_low": 0.5, "gain_high": 1.5, "gain_p_holm": 0.01})
    assert study_page.gain(row) == "**+1.0 [+0.5, +1.5]**"
    assert study_page.gain(row.replace(0.01, 0.06)) == "+1.0 [+0.5, +1.5]"
    assert study_page.gain(row.replace(0.5, -0.5)) == "+1.0 [-0.5, +1.5]"

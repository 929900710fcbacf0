import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from command_line import passion, refused
from grid_files import mark_as_phantom, write_grid
from test_page import Page

from passion.report import experiment_page
from passion.report.bootstrap import Bootstrap
from passion.report.effects import records, weighted_means
from passion.report.experiment_page import write_experiment_report
from passion.report.experiment_views import region_tables, subset_tables
from passion.report.folder import read_experiment
from passion.report.verdicts import tag, verdicts
from passion.report.viewer_data import pack_cases

FEW = Bootstrap(count=50)
INTERVAL = re.compile(r"[+-]?[\d.]+ \[[+-]?[\d.]+, [+-]?[\d.]+\]")


@pytest.fixture(scope="module")
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_page_has_its_sections_and_names_what_is_missing(text: str) -> None:
    sections = [attributes["id"] for tag, attributes in Page(text).tags if tag == "section"]
    assert sections == ["summary", "viewer", "table2-BraTS2020", "table3-BraTS2020", "training", "unfinished"]
    assert "24 of 26 cells are finished" in text
    assert "m2ftrans_passion_0.2-0.4-0.6-0.8_seed1" in text
    assert "RuntimeError: out of memory" in text
    assert "Case case000, (0.2,0.4,0.6,0.8), mmformer, seed 0." in text


def test_who_wins_is_said_first_and_bold_is_never_without_an_interval(text: str) -> None:
    summary = text[text.index('id="summary"') : text.index('id="viewer"')]
    assert summary.count("+PASSION has the highest mean Dice") == 3
    numbers = re.findall(r'<p class="number">(.*?) <span', summary)
    assert len(numbers) == 3
    bold = re.findall(r"<b>(.*?)</b>", text)
    assert bold
    assert all(INTERVAL.fullmatch(number) for number in [*numbers, *bold])
    assert "in the paper +3.1" in summary


def test_averages_are_shown_weighted_too(grid: Path, text: str) -> None:
    by_region, by_subset = read_experiment(grid).tables
    views = [*region_tables(by_region, "dice", FEW)[:1], *region_tables(by_region, "hd95_pooled", FEW)[:1]]
    for view, metric in zip(views, ("dice", "hd95_pooled"), strict=True):
        assert list(view.groups) == ["Seeds", "Avg.", "Avg., weighted", "WT", "TC", "ET"]
        numbers = records(weighted_means(by_region, metric, FEW))
        for row, place in zip(view.rows, by_region.rows, strict=True):
            mean = numbers[*place, "weighted", "Avg."]["mean"]
            assert row.cells[3].text.startswith(f"{mean:.1f} [")
    for region, (means, *_) in subset_tables(by_subset, FEW).items():
        numbers = records(weighted_means(by_subset, "dice", FEW))
        assert [row.name for row in means.rows[-2:]] == ["Average", "Weighted"]
        place = ("IDT", "rfnet", "+PASSION", "weighted", region)
        column = list(means.groups).index("IDT +PASSION, rfnet")
        assert means.rows[-1].total
        assert means.rows[-1].cells[2 * column].text.startswith(f"{numbers[place]['mean']:.1f} [")
    assert "by the share of the training cases" in text


def test_what_makes_numbers_hard_to_read_is_said_first(tmp_path: Path, text: str) -> None:
    assert "Please note" not in text
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=3, unfinished=["pixel", "+semantic"])
    for run in (out / "runs").iterdir():
        mark_as_phantom(run)
    scored = next((out / "runs").glob("*passion*")) / "evaluation/test-last"
    settings = json.loads((scored / "settings.json").read_text())
    (scored / "settings.json").write_text(json.dumps({**settings, "overlap": 0.25}))
    lines = [line for line in (scored / "scores.csv").open() if not line.startswith("case001,t1,")]
    (scored / "scores.csv").write_text("".join(lines))
    text = write_experiment_report(out, tmp_path / "page", FEW).read_text()
    notes = re.findall("<li>(.*?)</li>", text[text.index("Please note") : text.index('id="summary"')])
    assert notes == [
        "The cases of BraTS2020 are phantoms, which are made up: nothing here is of a patient.",
        "BraTS2020: The runs were scored on different cases or subsets; their averages are not comparable.",
        "BraTS2020: Not every case has every modality, so the subsets are averaged over different cases.",
        "BraTS2020: The runs were evaluated with different settings of “overlap”.",
    ]
    assert "mean of all subsets and of WT, TC, ET. The cases of BraTS2020 are phantoms." in text


def test_the_winner_is_not_always_passion(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=3, unfinished=["pixel", "+semantic", "passion"])
    [table] = read_experiment(out).tables
    [verdict] = verdicts(table, FEW)
    assert verdict.head == "+semantic has the highest mean Dice"
    assert (verdict.sure, verdict.tag) == (False, "not sure")
    surely = {"difference": 2.0, "low": 1.0, "high": 3.0, "p_holm": 0.001, "n_seeds": 3}
    assert tag(surely, "Baseline") == "surely above Baseline"
    assert tag({**surely, "difference": -2.0, "low": -3.0, "high": -1.0}, "Baseline") == "surely below Baseline"
    assert tag({**surely, "n_seeds": 1}, "Baseline") == "surely above Baseline, with this seed"
    for cell in (out / "runs").glob("*semantic*"):
        shutil.copy(
            next((out / "runs").glob("*baseline*")) / "evaluation/test-last/scores.csv", cell / "evaluation/test-last"
        )
    [table] = read_experiment(out).tables
    [verdict] = verdicts(table, FEW)
    assert verdict.head == "No method is above Baseline; the next is +semantic"
    assert verdict.number == "+0.0 [+0.0, +0.0]"
    shutil.rmtree(next((out / "runs").glob("*semantic*")))
    [table] = read_experiment(out).tables
    [verdict] = verdicts(table, FEW)
    assert verdict.head.startswith("Nothing to compare yet: it takes a setting that Baseline and")


def test_a_card_says_what_its_network_has_and_what_p_is_corrected_for(grid: Path) -> None:
    table = read_experiment(grid).tables[1]
    both_seeds = [place for place in table.places if place.network == "mmformer"]
    first_seed = [place for place in table.places if place.network == "rfnet" and place.seed == 0]
    one, other = verdicts(replace(table, places=[*both_seeds, *first_seed]), FEW)
    assert (one.title, other.title) == ("Table 3, BraTS2020, mmformer", "Table 3, BraTS2020, rfnet")
    for verdict, seeds in ((one, "2 seeds"), (other, "1 seed")):
        assert "corrected for 2 comparisons" in verdict.rest
        assert f"mmformer, missing rates IDT, 8 cases, {seeds}" in verdict.scope.replace("rfnet", "mmformer")
        assert verdict.ranking is not None
        assert verdict.ranking.note.startswith(f"8 cases, {seeds}. ")
        assert "Holm-corrected for 2 comparisons." in verdict.ranking.note


def test_it_says_how_all_finished_runs_were_trained(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=2, cases=3, unfinished=["pixel", "semantic"])
    shutil.rmtree(next((out / "runs").glob("*passion*seed1")))
    other = next((out / "runs").glob("*baseline*seed1"))
    config = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump({**config, "data": {"patch_size": 96}}))
    history = [line for line in (other / "history.csv").open() if not line.startswith("56,")]
    (other / "history.csv").write_text("".join(history))
    text = write_experiment_report(out, tmp_path / "page", FEW).read_text()
    facts = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text[text.index('id="training"') :]))
    assert (facts["Epochs"], facts["Patch"], facts["Finished seeds"]) == ("57, 53", "80, 96", "0 to 2 of 2")
    single = "with one seed it does not say what another training would give"
    assert f"3 cases, 1 to 2 seeds. In brackets: 95 % interval for other cases and seeds; {single}.</p>" in text
    assert "bootstrap intervals" not in text


def test_it_asks_the_network_for_nothing(text: str, page: Path) -> None:
    links = [attributes[name] for _, attributes in Page(text).tags for name in ("src", "href") if name in attributes]
    assert {link for link in links if not link.startswith(("data:", "#"))} == {"viewer/viewer.js"}
    assert all((page.parent / "viewer" / name).exists() for name in ("viewer.js", "niivue.js", "cases.js", "case0.js"))


def test_what_is_passed_on_carries_its_licences(page: Path) -> None:
    terms = (page.parent / "viewer/LICENSE.txt").read_text()
    assert terms.startswith("NiiVue 0.69.0")
    notice = (Path(__file__).parents[2] / "NOTICE").read_text()
    assert terms.partition(": ")[2] in notice


def test_cases_that_are_too_large_are_thinned_and_then_left_out(grid: Path) -> None:
    experiment = read_experiment(grid)
    scripts = pack_cases(experiment)
    assert {"cases", "case0", "case1"} <= scripts.keys()
    whole = sum(len(text) for name, text in scripts.items() if name.startswith("case0"))
    thin = pack_cases(experiment, whole - 1)["cases"]
    assert thin.count('"shape": [18, 22, 15]') == thin.count('"spacing": [2.0, 2.0, 3.0]') == 2
    assert pack_cases(experiment, 100) == {}


def test_a_page_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, **content: object) -> str:
        raise MemoryError

    monkeypatch.setattr(experiment_page, "render", fails)
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["pixel", "semantic"])
    with pytest.raises(MemoryError):
        write_experiment_report(out, tmp_path / "page", FEW)
    assert not (tmp_path / "page").exists()


def test_evaluations_that_kept_no_volumes_make_a_page_without_a_viewer(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["pixel", "semantic"])
    for path in out.glob("runs/*/evaluation/test-last/*.npz"):
        path.unlink()
    text = write_experiment_report(out, tmp_path / "page", FEW).read_text()
    assert 'id="viewer"' not in text
    assert not (tmp_path / "page/viewer").exists()


def test_cases_that_were_taken_away_do_not_stay_beside_the_page(tmp_path: Path) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["pixel", "semantic"])
    page = write_experiment_report(out, tmp_path / "page", FEW)
    assert (page.parent / "viewer/case0.js").exists()
    # As processes leave behind that were killed while they wrote.
    for left in (".replaced-viewer", ".partial-abcviewer"):
        shutil.copytree(page.parent / "viewer", page.parent / left)
    for path in out.glob("runs/*/evaluation/test-last/*.npz"):
        path.unlink()
    write_experiment_report(out, page.parent, FEW)
    assert list(page.parent.rglob("*")) == [page]


def test_the_command_writes_the_same_again_and_touches_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = write_grid(tmp_path / "out", ["table2"], seeds=1, cases=2, unfinished=["pixel", "semantic"])
    (tmp_path / "page").mkdir()
    (tmp_path / "page/notes.txt").write_text("mine")
    passion("report", out, "-o", tmp_path / "page")
    said = capsys.readouterr()
    assert f"{tmp_path / 'page/index.html'}: open it in a browser" in said.out
    assert re.search(r"Reading cells .* 2/2", said.err)
    assert re.search(r"Writing tables and figures .* 6/6", said.err)
    assert re.search(r"Packing cases .* 2/2", said.err)
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["index.html", "notes.txt", "viewer"]
    passion("report", out, "-o", tmp_path / "again")
    for path in (tmp_path / "again").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "page" / path.relative_to(tmp_path / "again")).read_bytes()


def test_mistakes_are_answered(grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = next((grid / "runs").iterdir())
    assert "is a folder; give one, such as" in refused(capsys, "report", grid, "-o", tmp_path / "page.html")
    assert "give it alone" in refused(capsys, "report", run, grid, "-o", tmp_path / "page")
    assert "--serve: is for the page of an experiment" in refused(
        capsys, "report", run, "-o", tmp_path / "p.html", "--serve"
    )
    (tmp_path / "mine/viewer").mkdir(parents=True)
    assert "is not a page's" in refused(capsys, "report", grid, "-o", tmp_path / "mine")
    assert list(tmp_path.rglob("*.html")) == []

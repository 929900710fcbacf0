import json
import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from grid_files import mark_as_phantom

from passion.errors import InputError
from passion.report.comparison import cautions
from passion.report.masks import chosen_subsets
from passion.report.page import write_report
from passion.report.results import read_run
from passion.report.tables import comparison_table

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """Collects the tags and checks that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the runs that the fixture `runs` writes too."""
    root = tmp_path_factory.mktemp("page")
    runs = [make_run(root / method, method, seed) for seed, method in enumerate(("baseline", "passion"))]
    write_report(runs, root / "out/report.html", ["Only <phantoms> & nothing else."])
    return (root / "out/report.html").read_text(encoding="utf-8")


def test_the_page_has_every_section_and_escapes_what_it_is_told(text: str) -> None:
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert ids == ["overview", "differences", "subsets", "balance", "masks", "missing", "runs"]
    assert "Only &lt;phantoms&gt; &amp; nothing else." in text
    for part in ("Relative preference", "Weight β of each", "Loss terms", "Case 002.", "mmformer", "Versions"):
        assert part in text


def test_the_page_asks_the_network_for_nothing(text: str) -> None:
    tags = Page(text).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object"}
    links = [attributes[name] for _, attributes in tags for name in ("src", "href") if name in attributes]
    assert links
    assert all(link is not None and link.startswith(("data:image/", "#")) for link in links)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_figures_and_tables_speak_to_screen_readers(text: str) -> None:
    tags = Page(text).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) >= 6
    assert all(len(attributes["alt"] or "") > 20 for attributes in images)
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table")
    assert all("scope" in attributes for tag, attributes in tags if tag == "th")


def test_the_best_averages_are_bold(text: str, runs: list[Path]) -> None:
    table = comparison_table([read_run(folder) for folder in runs], ("dice", "hd95_pooled"))
    overview = text[text.index('id="overview"') : text.index("<details>")]
    bold = re.findall(r"<b>([\d.]+)</b>", overview)
    expected = [table[c].max() if c[0] == "Dice [%]" else table[c].min() for c in table.columns]
    assert sorted(bold) == sorted(f"{value:.2f}" for value in expected)


def test_the_same_runs_give_the_same_page(text: str, runs: list[Path], tmp_path: Path) -> None:
    write_report(runs, tmp_path / "again.html", ["Only <phantoms> & nothing else."])
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_one_baseline_alone_without_examples_makes_a_page(runs: list[Path], tmp_path: Path) -> None:
    (runs[0] / "evaluation/test-last/examples.npz").unlink()
    history = runs[0] / "history.csv"
    history.write_text("".join(line for line in history.open() if "preference" not in line))
    write_report(runs[:1], tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "stored no slices" in text
    assert "No run logged its relative preference" in text
    assert "<b>" not in text


def test_runs_of_equal_names_are_told_apart(runs: list[Path], tmp_path: Path) -> None:
    other = shutil.copytree(runs[0], tmp_path / "seed1/baseline")
    write_report([runs[0], other], tmp_path / "two.html")
    text = (tmp_path / "two.html").read_text(encoding="utf-8")
    assert "seed1/baseline" in text
    with pytest.raises(InputError, match="give each run once"):
        write_report([runs[0], runs[0]], tmp_path / "two.html")


def test_masks_go_from_the_rarest_modality_to_all(make_run: MakeRun, runs: list[Path], tmp_path: Path) -> None:
    assert chosen_subsets([read_run(folder) for folder in runs], "001") == [
        "t2",
        "flair+t2",
        "t1c+flair+t2",
        "t1+t1c+flair+t2",
    ]
    lacking = read_run(make_run(tmp_path / "lacking", "baseline", 0, absent={"001": "flair"}))
    assert chosen_subsets([lacking], "001") == ["t2", "t1c+t2", "t1+t1c+t2"]


def test_unlike_cases_and_settings_are_pointed_out(make_run: MakeRun, runs: list[Path], tmp_path: Path) -> None:
    alike = [read_run(folder) for folder in runs]
    assert cautions(alike) == []
    folder = make_run(tmp_path / "other", "baseline", 5, absent={"002": "t2"})
    settings = folder / "evaluation/test-last/settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"overlap": 0.25}))
    found = " ".join(cautions([alike[0], read_run(folder)]))
    assert "different cases or subsets" in found
    assert "Not every case has every modality" in found
    assert "“overlap”" in found
    write_report([runs[0], folder], tmp_path / "unlike.html")
    text = (tmp_path / "unlike.html").read_text(encoding="utf-8")
    assert ">Cases</th>" in text


def test_phantoms_are_called_so(runs: list[Path], tmp_path: Path) -> None:
    for folder in runs:
        mark_as_phantom(folder)
    write_report(runs, tmp_path / "phantoms.html")
    assert (
        "<li>The cases of BraTS2020 are phantoms, which are made up: nothing"
        in (tmp_path / "phantoms.html").read_text()
    )


def test_runs_of_different_studies_are_refused(runs: list[Path], tmp_path: Path) -> None:
    study = json.loads((runs[1] / "study.json").read_text())
    del study["regions"]["ET"]
    (runs[1] / "study.json").write_text(json.dumps(study))
    scores = runs[1] / "evaluation/test-last/scores.csv"
    scores.write_text("".join(line for line in scores.open() if ",ET," not in line))
    with pytest.raises(InputError, match=r"its regions \(WT, TC\).*compare runs of one study") as error:
        write_report(runs, tmp_path / "report.html")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report.html").exists()


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run is given"):
        write_report([], tmp_path / "report.html")


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'passion\[report\]'"):
        write_report(runs, tmp_path / "report.html")

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from passion.errors import InputError
from passion.experiments.plan import Plan, make_plan
from passion.experiments.scores import SCORES


def planned(study: Path, out: Path) -> Plan:
    return make_plan(["table2"], [study / "prepared"], out, "quick", seeds=1)


def test_what_is_in_which_place_is_written_beside_the_runs(study: Path, tmp_path: Path) -> None:
    plan = planned(study, tmp_path / "out")
    plan.write(plan.cells[:1])
    content = json.loads((tmp_path / "out/table2.json").read_text())
    assert content["shape"] == "regions"
    assert [place["method"] for place in content["places"]] == [
        "Baseline", "+pixel", "+semantic", "+pixel+semantic", "+pixel+semantic+delta", "+PASSION"
    ]  # fmt: skip
    first = content["places"][0]
    assert first["cell"] == plan.cells[0].name
    assert (first["dataset"], first["network"], first["seed"]) == ("BraTS2020", "mmformer", 0)
    assert first["rates"] == {"t1": 0.2, "t1c": 0.4, "flair": 0.6, "t2": 0.8}


def test_studies_that_are_not_asked_for_keep_their_places_and_scores(study: Path, tmp_path: Path) -> None:
    plan = planned(study, tmp_path)
    place = {"dataset": "Another", "setting": "IDT", "network": "rfnet", "method": "Baseline", "cell": "Another_rfnet"}
    row = {**place, "seed": "0", "case": "007", "subset": "lge", "region": "MYO", "dice": "0.30000000000000004"}
    row = {**row, "hd95": "", "hd95_pooled": "1.5", "hd95_reference": "373.12866"}
    del row["cell"]
    (tmp_path / "table2.json").write_text(json.dumps({"shape": "regions", "places": [place]}))
    pd.DataFrame([row]).to_csv(tmp_path / "table2.csv", index=False)
    for _ in range(2):
        plan.write(plan.cells)
        plan.collect()
    places = json.loads((tmp_path / "table2.json").read_text())["places"]
    assert places[0] == place
    assert [one["dataset"] for one in places] == ["Another"] + 6 * ["BraTS2020"]
    assert pd.read_csv(tmp_path / "table2.csv", dtype=str, keep_default_na=False).to_dict("records") == [row]


def test_a_case_may_be_called_na(study: Path, tmp_path: Path) -> None:
    plan = planned(study, tmp_path)
    path = plan.workspace.scores(plan.cells[0])
    path.parent.mkdir(parents=True)
    path.with_name("settings.json").write_text("{}")
    path.write_text(f"{','.join(SCORES)}\nNA,t1,WT,0.5,,1.5,2.5\n")
    table = plan.collect()["table2"]
    assert table["case"].tolist() == ["NA"]
    assert table[["dice", "hd95", "hd95_pooled"]].isna().to_numpy().tolist() == [[False, True, False]]


def test_a_study_with_other_voxels_is_another_study(study: Path, tmp_path: Path) -> None:
    planned(study, tmp_path / "out")
    path = tmp_path / "out/studies/BraTS2020.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in described.items() if name != "content"}))
    planned(study, tmp_path / "out")
    assert json.loads(path.read_text()) == described
    path.write_text(json.dumps({**described, "content": "other"}))
    with pytest.raises(InputError, match="holds another study BraTS2020; choose another --out"):
        planned(study, tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[]", '{"places": [3]}', '{"places": [{}]}'])
def test_a_table_that_cannot_be_read_is_refused(content: str, study: Path, tmp_path: Path) -> None:
    (tmp_path / "table2.json").write_text(content)
    with pytest.raises(InputError, match=r"table2.json: .*; take it away"):
        planned(study, tmp_path).write([])


def test_no_file_is_called_as_a_study_that_is_a_path(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "prepared", tmp_path / "prepared")
    path = tmp_path / "prepared/study.json"
    content = json.loads(path.read_text())
    content["study"]["name"] = "../outside"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"no file can be called as its study, '\.\./outside'; give that another name"):
        make_plan(["table2"], [tmp_path / "prepared"], tmp_path / "out", "small", 1)
    assert not (tmp_path / "outside.csv").exists()

import json
from pathlib import Path

from passion.experiments.plan import make_plan


def test_what_is_in_which_place_is_written_beside_the_runs(study: Path, tmp_path: Path) -> None:
    plan = make_plan(["table2"], [study / "prepared"], tmp_path / "out", "quick", seeds=1)
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

"""The card as a Markdown page, so that it is seen where the model lies."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from passion.data.study import Study
from passion.exporting.card import NOT_STATED
from passion.models import CHECKSUMS, OF_CARD, Card
from passion.report.results import subset_names
from passion.report.tables import NOTHING, format_value

LIBRARY = "passion"


def page_of(card: Card, how: str) -> str:
    """A model card in Markdown, with the header that model hubs read.

    Args:
        card: see `passion.exporting.card.card_of`.
        how: the section on how it is used.
    """
    study = Study.from_dict(card["study"])
    sections = [
        _header(card),
        f"# {_plain(card['title'])}",
        card["notes"],
        f"**Intended use.** {card['use']['intended']}",
        "**Limits.**\n\n" + "\n".join(f"- {limit}" for limit in card["use"]["limits"]),
        "## What it does",
        _what(card, study),
        "## How it is used",
        how,
        "## Training",
        _training(card),
        "## Scores",
        *_scores(card["evaluation"], study),
        "## Origin",
        _origin(card),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _plain(text: object) -> str:
    """On one line, with nothing that ends a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _header(card: Card) -> str:
    content = {
        "library_name": LIBRARY,
        "pipeline_tag": "image-segmentation",
        "tags": ["medical", "missing-modalities"],
    } | ({} if card["license"] == NOT_STATED else {"license": card["license"]})
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---"


def _what(card: Card, study: Study) -> str:
    classes = [(name, code) for name, code in study.classes.items()]
    regions = [(name, ", ".join(region.classes)) for name, region in study.regions.items()]
    space = "slices along the last axis" if study.spatial_dims == 2 else "volumes"
    modalities = ", ".join(map(_plain, study.modalities))
    text = f"It segments {space} from any subset of these modalities: {modalities}. Study: {_plain(study.name)}."
    preparation, use = card["preparation"], card["inference"]
    spacing = [f"{size} mm" if size else "as it is" for size in study.spacing_mm]
    shared = f"brought to that of the first of {', '.join(study.resample)}" if study.resample else "refused"
    window = f"{' x '.join(map(str, use['patch_size']))} voxels, overlap {use['overlap']}, {use['blend']} weights"
    facts = [
        ("network", card["network"]["name"]),
        ("crop", preparation["crop"]),
        ("normalisation", preparation["normalisation"]),
        ("voxel size along X, Y, Z", ", ".join(spacing)),
        ("orientation", study.orientation or "as it is"),
        ("images of a case on different grids", shared),
        ("window", window),
        ("answers for", "the centre of the box" if use["crop"] == "centre" else "all of the box"),
    ]
    tables = (_table(("class", "code"), classes), _table(("region", "classes"), regions), _table(("how", ""), facts))
    return "\n\n".join([text, *tables, f"`{LIBRARY}` does all of this itself."])


def _training(card: Card) -> str:
    training = card["training"]
    if isinstance(training, str):
        return f"It is {_plain(training)}."
    options = dict(training["objective"])
    objective = ", ".join([options.pop("name"), *(f"{key} {value}" for key, value in options.items())])
    rates = [(modality, f"{100 * rate:.1f}") for modality, rate in training["missing_rates"].items()]
    facts = [
        ("objective", objective),
        ("setting", training["setting"]),
        ("cases", training["cases"]),
        ("epochs", f"{card['checkpoint']['epoch']} of {training['epochs']} (checkpoint {card['checkpoint']['name']})"),
        ("batch size", training["batch_size"]),
        ("learning rate", training["learning_rate"]),
        ("seed", training["seed"]),
        ("augmented", "yes" if training["augmented"] else "no"),
        ("precision", card["inference"]["precision"]),
    ]
    return _table(("what", ""), facts) + "\n\n" + _table(("modality", "training cases that lacked it [%]"), rates)


def _scores(evaluation: Sequence[Mapping[str, Any]] | str, study: Study) -> list[str]:
    if isinstance(evaluation, str):
        return [f"It was {evaluation}."]
    sections = []
    for one in evaluation:
        values = {(row["subset"], row["region"]): row for row in one["scores"]}
        for key, (title, scale) in _titles(one).items():
            rows = [
                (subset, *(_value(values.get((subset, region)), key, scale) for region in study.regions))
                for subset in subset_names(study)
            ]
            sections.append(f"{title} on {one['part']}, means over {one['cases']} cases:")
            sections.append(_table(("modalities given", *study.regions), rows))
    return sections


def _titles(evaluation: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Heading and factor of each score that is shown, of those that the evaluation has."""
    titles = {
        "dice": ("Dice [%]", 100.0),
        "hd95_mm": ("HD95 [mm]", 1.0),
        "surface_dice": (f"Surface Dice at {evaluation.get('surface_tolerance_mm')} mm [%]", 100.0),
        "lesion_dice": ("Lesion-wise Dice [%]", 100.0),
    }
    return {key: title for key, title in titles.items() if key in evaluation["scores"][0]}


def _value(row: Mapping[str, Any] | None, key: str, scale: float) -> str:
    return NOTHING if row is None or row[key] is None else format_value(scale * row[key])


def _origin(card: Card) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in card["versions"].items())
    checksums = [(f"SHA-256 of {name}", f"`{digest}`") for name, digest in card[CHECKSUMS].items() if name != OF_CARD]
    facts = [("authors", card["authors"]), ("license", card["license"]), ("trained with", versions), *checksums]
    return _table(("what", ""), facts)

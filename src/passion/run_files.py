"""How files in a run folder are called."""

CONFIGURATION = "config.yaml"
"""Written when everything else that a run is made of is there; where it is, the run is begun."""

STUDY = "study.json"
"""What it was trained on."""

SPLIT = "split.csv"
PRESENCE = "presence.csv"

DATA = "data.json"
"""Digests of the prepared cases that a run sees, so that it does not go on with others."""

GRIDS = "grids.json"
"""What the training cases' grids were like."""

VERSIONS = "versions.json"
HISTORY = "history.csv"

SETTINGS = "settings.json"
"""Of an evaluation: it is whole where they are."""

MODEL_CARD = "card.json"
"""What says in the folder of an exported model what it is."""

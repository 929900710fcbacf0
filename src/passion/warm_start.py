"""Training that begins with the weights of another run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from passion.configuration import NETWORK_FROM_STUDY, Configuration, build_network, with_defaults
from passion.data.study import Study
from passion.errors import InputError
from passion.networks import Segmenter, network_class
from passion.networks.adoption import adopt
from passion.objectives import Objective
from passion.runs import TrainedRun, load_run

FREE = {"dropout", *NETWORK_FROM_STUDY}
"""Options of networks that need not be the same, or that weights and studies are compared for."""

SECOND_DECODER = "unimodal_decoder."


def start_from(run: Path, network: Segmenter, objective: Objective, study: Study, configuration: Configuration) -> str:
    """Fill a network with what another run has learnt: modalities by name, what depends on classes where they agree.

    Args:
        run: folder of the other run, or of an exported model.
        network: to fill, on the CPU.
        objective: that it is to be trained with.
        study: that it is to be trained on.
        configuration: that it was built from.

    Returns:
        What was taken over and what is new, in one line.

    Raises:
        InputError: no such run, another network, no common modality, or weights that cannot be taken over.
    """
    trained = load_run(run)
    _check_same_network(run, trained, configuration.network, study)
    theirs = trained.study.modalities
    shared = [name for name in study.modalities if name in theirs]
    if not shared:
        raise InputError(f"--training.start_from {run}: knows none of {', '.join(study.modalities)}; take another run")
    order = [*shared, *(name for name in theirs if name not in shared)]
    trained.network.reorder(torch.tensor([theirs.index(name) for name in order]))
    fresh = _fresh(trained, network, objective, study, configuration)
    pairs = [(study.modalities.index(name), place) for place, name in enumerate(shared)]
    try:
        adopt(network, trained.network, pairs, {name for names in fresh.values() for name in names})
    except InputError as error:
        raise InputError(f"--training.start_from {run}: {error}{_why(trained, network, study)}") from error
    added = [name for name in study.modalities if name not in theirs]
    new = [*([f"the parts of {', '.join(added)}"] if added else []), *fresh]
    return f"started from {run}, taking over {', '.join(shared)}" + (f"; new: {', '.join(new)}" if new else "")


def _check_same_network(run: Path, trained: TrainedRun, asked: Mapping[str, Any], study: Study) -> None:
    found = trained.options
    wrong = []
    if trained.study.spatial_dims != study.spatial_dims:
        wrong.append(f"works in {trained.study.spatial_dims} dimensions, not in {study.spatial_dims}")
    if found["name"] != asked["name"]:
        wrong.append(f"has --network.name {found['name']}, not {asked['name']}")
    else:
        cls = network_class(asked["name"])
        theirs, ours = (with_defaults(options, cls, FREE) for options in (found, asked))
        wrong += [
            f"has --network.{key} {theirs.get(key)}, not {ours.get(key)}"
            for key in sorted((theirs.keys() | ours.keys()) - FREE)
            if theirs.get(key) != ours.get(key)
        ]
    if wrong:
        raise InputError(f"--training.start_from {run}: {'; '.join(wrong)}; train the same network")


def _fresh(
    trained: TrainedRun, network: Segmenter, objective: Objective, study: Study, configuration: Configuration
) -> dict[str, set[str]]:
    """Names of the parameters that are not taken over, by what they are."""
    names = network.state_dict().keys()
    fresh = {}
    if list(trained.study.classes) != list(study.classes):
        # What depends on the classes is what has another shape where there is one more.
        more = replace(study, classes={**study.classes, "one more": -1})
        other = build_network(configuration.network, more, configuration.data.patch_size, objective).state_dict()
        of_classes = {name for name, value in network.state_dict().items() if other[name].shape != value.shape}
        fresh[f"the parts that tell classes apart (there: {', '.join(trained.study.classes)})"] = of_classes
    if not any(name.startswith(SECOND_DECODER) for name in trained.network.state_dict()):
        decoder = {name for name in names if name.startswith(SECOND_DECODER)}
        fresh |= {"the second decoder": decoder} if decoder else {}
    return fresh


def _why(trained: TrainedRun, network: Segmenter, study: Study) -> str:
    if trained.network.patch_size != network.patch_size:
        own, other = (" x ".join(map(str, one.patch_size)) for one in (network, trained.network))
        return f"; it was trained on patches of {other}, not of {own}"
    if set(trained.study.modalities) != set(study.modalities):
        return f"; this network cannot change its modalities, {', '.join(trained.study.modalities)}"
    return "; train the same network"

"""Commands that read a raw study: what it holds, another layout, its parts, what is missing, what is stored."""

from pathlib import Path

from passion.errors import InputError, note, say


def inspect(
    raw: Path, *, layout: str | None = None, resample: str | None = None, json: bool = False, workers: int = 2
) -> int:
    """Say what a raw study holds and every problem found in any file; exit code 2 when one would stop a later step.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        resample: as for prepare: files of a case on different grids are then no problem.
        json: print JSON instead of tables.
        workers: processes that read.
    """
    from passion.data.inspection import inspect_study
    from passion.data.regridding import with_geometry
    from passion.data.sources import read_study
    from passion.overview import note_unrecognised, print_inspection, print_json

    study, cases = read_study(raw, layout)
    note_unrecognised(cases, raw)
    found = inspect_study(with_geometry(study, resample), cases, raw, workers)
    if json:
        print_json(found.to_dict())
    else:
        print_inspection(found)
    return 2 if found.all_problems else 0


def convert(
    raw: Path,
    out: Path,
    *,
    to: str,
    layout: str | None = None,
    complete: bool = False,
    link: bool = False,
    workers: int = 2,
) -> None:
    """Write a raw study in another layout, for other programs or as a start for one's own: nnU-Net, a manifest, ...

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        out: folder to write; a run that was stopped is continued.
        to: layout to write: brats, brats2023, decathlon, manifest, myops or nnunet.
        layout: name of the layout on disk, such as brats; found out by looking where it is not given.
        complete: leave out the cases that lack a modality.
        link: make symbolic links instead of copies, where a file needs no change.
        workers: processes.
    """
    from passion.data.conversion import convert as convert_study
    from passion.data.conversion import papers_in
    from passion.data.sources import read_study, source_named

    source = source_named(to, "--to")
    study, cases = read_study(raw, layout)
    kept = [case for case in cases if len(case.images) == len(study.modalities)] if complete else cases
    if not kept:
        raise InputError(f"{raw}: none of the {len(cases)} cases has every modality; leave out --complete")
    plan = convert_study(study, kept, source, out, papers_in(raw), link, workers)
    say(
        f"{out}: {len(kept)} of {len(cases)} cases, those with every modality"
        if complete
        else f"{out}: {len(kept)} cases"
    )
    for remark in plan.remarks:
        say(remark)


def split(
    raw: Path,
    *,
    out: Path,
    layout: str | None = None,
    seed: int = 0,
    sizes: str | None = None,
    folds: int | None = None,
    patient: str | None = None,
    train: Path | None = None,
    val: Path | None = None,
    test: Path | None = None,
) -> None:
    """Divide the cases of a study into train, val and test: 219/50/100 for 369 cases, the same proportions otherwise.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        out: CSV file to write; with --folds, one a fold: split-1.csv, split-2.csv, ... for split.csv.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        seed: of the draw.
        sizes: how many for train, val and test, such as 20,0,5.
        folds: of a cross-validation, in which every case is for testing once.
        patient: regular expression for the part of a case's name that tells whose it is, such as "^[^_]+", where some
            patients were scanned several times; all scans of one then go into one part.
        train: text file with a case name a line; given together with val and test, nothing is drawn.
        val: as train.
        test: as train.
    """
    from passion.data.sources import read_study, study_files
    from passion.data.split import (
        PARTS,
        Split,
        check_disjoint,
        check_patients,
        draw_folds,
        draw_split,
        parse_sizes,
        patients_of,
        read_list,
        write_split,
    )
    from passion.files import check_apart

    lists = dict(zip(PARTS, (train, val, test), strict=True))
    check_apart({"--out": out}, {**study_files(raw), **{f"--{part}": path for part, path in lists.items()}})
    _, cases = read_study(raw, layout)
    labelled = [case.name for case in cases if case.target is not None]
    given = {part: path for part, path in lists.items() if path is not None}
    if given and len(given) < len(PARTS):
        forgotten = next(part for part in PARTS if part not in given)
        raise InputError(f"--{forgotten}: give all three lists, or none to draw a split")
    if folds is not None and (given or sizes):
        raise InputError(f"--folds {folds}: every part follows from it; leave out --sizes, --train, --val and --test")
    whose = None if patient is None else patients_of(labelled, patient)
    if given:
        divided = {part: read_list(path, labelled) for part, path in given.items()}
        check_disjoint(divided, "the given lists")
        if whose:
            check_patients(divided, whose, "the given lists")
        splits: dict[Path, Split] = {out: divided}
    elif folds is not None:
        drawn = draw_folds(labelled, seed, folds, whose)
        splits = {out.with_name(f"{out.stem}-{fold}{out.suffix}"): one for fold, one in enumerate(drawn, start=1)}
    else:
        splits = {out: draw_split(labelled, seed, parse_sizes(sizes) if sizes else None, whose)}
    for path, one in splits.items():
        write_split(path, one)
        say(f"{path}: " + ", ".join(f"{len(one[part])} {part}" for part in PARTS))
    left_out = len(cases) - len(labelled)
    if left_out:
        say(f"{left_out} cases without a label file were left out")


def draw_missing(raw: Path, *, split: Path, rates: str, out: Path, layout: str | None = None, seed: int = 0) -> None:
    """Draw which training case is without which modality, once and for all: the presence matrix C.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        split: CSV file that `passion split` wrote.
        rates: missing rate of each modality, such as t1=0.2,t1c=0.4,flair=0.6,t2=0.8.
        out: CSV file to write.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        seed: of the draw.
    """
    from passion.data.sources import read_study, study_files
    from passion.data.split import read_split
    from passion.files import check_apart
    from passion.missingness import draw_presence, parse_rates, presence_of
    from passion.overview import print_rates

    check_apart({"--out": out}, {**study_files(raw), "--split": split})
    study, cases = read_study(raw, layout)
    asked = parse_rates(rates, study.modalities)
    names = read_split(split, [case.name for case in cases])["train"]
    if not names:
        raise InputError(f"{split}: there is no training case")
    images = {case.name: list(case.images) for case in cases}
    own = presence_of({name: images[name] for name in names}, study.modalities)
    drawn = draw_presence(own, asked, seed)
    drawn.write(out)
    print_rates(asked.tolist(), drawn, out)
    for (modality, lacking), rate in zip(own.missing_rates.items(), asked.tolist(), strict=True):
        if (lacking - rate) * len(own.cases) > 0.5:
            note(
                f"{modality}: asked for {rate:.3f}, {lacking:.3f} of the cases lack it by themselves; no more is taken"
            )


def prepare(
    raw: Path,
    prepared: Path,
    *,
    layout: str | None = None,
    resample: str | None = None,
    spacing: str | None = None,
    orientation: str | None = None,
    skip_broken: bool = False,
    workers: int = 2,
) -> None:
    """Crop and normalise each modality of each case by itself and store it; a run that was stopped is continued.

    Args:
        raw: folder of the study, or CSV file that lists its cases.
        prepared: folder to write.
        layout: name of the layout on disk, such as nnunet; found out by looking where it is not given.
        resample: modality whose grid all files of a case are brought to; several, such as t1c,flair, for cases without
            the first. Not given, the files of a case must share a grid.
        spacing: voxel size in mm to bring all cases to, along each axis, such as 1,1,none; none keeps a case's own.
        orientation: that all cases are brought to, such as LPS, whose axes run to the left, back and up.
        skip_broken: leave out cases with a file that cannot be used, name them, and let the prepared study know.
        workers: processes.
    """
    from passion.data.inspection import check_every_modality_exists
    from passion.data.prepare import prepare as prepare_study
    from passion.data.regridding import with_geometry, without_reference
    from passion.data.sources import read_study
    from passion.overview import note_unrecognised

    study, cases = read_study(raw, layout)
    note_unrecognised(cases, raw)
    study = with_geometry(study, resample, spacing, orientation)
    check_every_modality_exists(study, cases, raw)
    made = prepare_study(study, cases, prepared, workers, skip_broken)
    for line in "\n".join(made.left_out.values()).splitlines():
        note(f"left out: {line}")
    if made.others:
        first = made.others[0]
        note(
            f"{prepared}: has {len(made.others)} cases from before that {raw} has not, the first is {first}; if it was "
            f"withdrawn, remove {prepared / 'cases' / first}, and its name from splits"
        )
    left_out = f", {len(made.left_out)} left out" if made.left_out else ""
    say(f"{prepared}: {made.cases} cases, {made.done} of them prepared now{left_out}")
    others = without_reference(study, cases)
    if others:
        say(f"cases without {resample}: {len(others)}; they are on the grid of the first modality that they have")

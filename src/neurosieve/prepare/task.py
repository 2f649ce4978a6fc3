"""The labelled rows of a task in four splits, and its card.

Reads a corpus artifact, or the files or the dataset that the task's entry names. Writes prepare/tasks/<task>/{train,
tune,judge,test}, each with inputs.jsonl and rows.jsonl, and prepare/tasks/<task>/card with card.json: the task in
numbers ("splits", "classes", "scored_classes", "majority"; where a number is predicted "target": mean, std, min and max
in train, and of each split under "splits"), "left_out" by reason and the first of each ("left_out_first", "file:line"),
"resampled": key of an input that says what the bootstrap draws, and what to call these; "parted": by parts, what was
kept whole where pairs share functions (see splits.part_pairs), "duplicates" (see splits.copies; "dropped": whether they
were left out) and "notices" (see _notices).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from neurosieve.artifacts import Paths
from neurosieve.config import SPLITS, Params, Task
from neurosieve.flow import writer
from neurosieve.prepare.corpus import read_corpus
from neurosieve.prepare.records import (
    NO_PACKAGE,
    PrepareError,
    Record,
    check_files,
    raise_faults,
    seen_as,
    spelling,
    text_notices,
)
from neurosieve.prepare.sampling import Sample, Want
from neurosieve.prepare.splits import assign, copies, rng, split_records
from neurosieve.prepare.tasks import OPTIONAL_KEYS, Kind, load_kind

log = logging.getLogger(__name__)

# A class is scored (macro-F1) where judge and test both have so many rows of it, in so many files (METHOD 3.1).
SCORED_ROWS = 20
SCORED_FILES = 5
# Numbers beyond it have no finite square, nor have the inverses of smaller ones; others must differ by such a share of
# the largest, far above the rounding of a double.
LARGEST, APART = 1e100, 1e-10


def prepare_task(params: Params, paths: Paths, *, task: str) -> None:
    """Write the four splits and the card of a task of params.yaml.

    Raises
    ------
    PrepareError : bad data, a package without functions, an empty split, a class or classes that cannot be learned.
    """
    spec = params.prepare.tasks[task]
    kind = load_kind(spec.kind)
    records = _read(kind, spec, params, paths, task)
    card, samples = _made(params, task, kind, records)
    for reason, facts in card["notices"].items():
        log.warning("prepare.tasks.%s: %s: %d, the first in %s", task, reason, facts["count"], facts["first"])
    for reason, place in card["left_out_first"].items():
        number = card["left_out"][reason]
        log.warning("prepare.tasks.%s: left out, %s: %d, the first in %s", task, reason, number, place)
    for split, sample in samples.items():
        with writer(params, paths, "prepare_task", task=task, split=split) as out:
            out.jsonl("inputs.jsonl", sample.inputs)
            out.jsonl("rows.jsonl", sample.rows)
            facts = card["splits"][split]
            out.facts = {name: facts[name] for name in ("rows", "inputs", "files", "characters")}
            out.facts["left_out"] = {reason: n for reason, n in sorted(sample.left_out.items()) if n}
    with writer(params, paths, "prepare_task", task=task) as out:
        out.json("card.json", card)
        out.facts = {name: card[name] for name in ("left_out", "short", "duplicates", "notices")}
    log.info("task %s: rows %s, short %s", task, {s: len(x.rows) for s, x in samples.items()}, card["short"])


def _made(params: Params, task: str, kind: Kind, records: list[Record]) -> tuple[dict[str, Any], dict[str, Sample]]:
    """Card and samples of the records of a task; PrepareError as :func:`prepare_task` has it."""
    spec = params.prepare.tasks[task]
    where = f"prepare.tasks.{task}"
    _check_labels(where, spec, kind, records)
    alike = _check_names(where, records) if kind.SOURCE == "folder" else {}
    parts, out_of_splits = split_records(records, spec, params.seed, where)
    notices = dict(sorted({**_notices(records, parts), **alike}.items()))
    duplicates = {**copies(parts), "dropped": spec.duplicates == "drop"}
    members, unused = assign(
        parts,
        lambda r: kind.why_not(r, spec),
        kind.PER_FILE,
        spec.tune_share,
        params.seed,
        drop=spec.duplicates == "drop",
    )
    left_out = out_of_splits.counts + unused.counts
    parted = out_of_splits.parted | unused.parted
    first = {**unused.first, **out_of_splits.first}
    number = spec.metric == "r2"
    language = params.prepare.corpora[spec.corpus].language if spec.corpus is not None else "python"
    if number:
        classes: tuple[str, ...] = ()
    elif hasattr(kind, "classes"):
        classes = kind.classes(spec, language)
    else:
        classes = kind.CLASSES or tuple(spec.classes or _labels(members))
    samples: dict[str, Sample] = {}
    for split in SPLITS:
        want = Want(
            rows=getattr(spec.rows, split),
            classes=classes,
            max_rows_per_input=spec.max_rows_per_input,
            cap_per_type=spec.cap_per_type if split == "train" else None,
            # token kinds take functions in one order: tasks of a corpus share texts, and a model runs once on each
            rng=rng(params.seed, kind.UNIT if kind.UNIT == "token" else spec.kind, split),
            cap_per_class=-(-getattr(spec.rows, split) // max(1, len(classes))) if spec.balanced else None,
            language=language,
            tagset=spec.tagset,
            negatives=spec.negatives,
            leave_out=frozenset(spec.leave_out or ()),
            seed=params.seed,
        )
        _check_balance(where, spec, kind, split, classes, members[split])
        samples[split] = kind.build(members[split], want)
        left_out.update(samples[split].left_out)
    _check(task, spec, kind, classes, samples, left_out, members["train"])
    if kind.UNIT == "token":
        types = {row["type"] for row in samples["train"].rows}
        for sample in samples.values():
            for row in sample.rows:
                row["seen"] = row["type"] in types
    card = _card(params, task, kind, classes, samples, left_out)
    card |= {"left_out_first": dict(sorted(first.items())), "notices": notices, "duplicates": duplicates}
    card |= {"parted": parted}
    return card, samples


def _labels(members: dict[str, list[Record]]) -> list[str]:
    """Labels and tags of the records, sorted."""
    records = [record for split in members.values() for record in split]
    return sorted({tag for r in records for tag in (r.tags or (r.label,)) if tag is not None})


def entry_faults(params: Params, task: str) -> list[str]:
    """What the entry of a task asks that its kind does not do, with what to write instead; no data are read."""
    spec, where = params.prepare.tasks[task], f"prepare.tasks.{task}"
    kind = load_kind(spec.kind)
    faults = [
        f"{where}.{key}: the kind {spec.kind!r} does not read it; take it out"
        for key in OPTIONAL_KEYS
        if getattr(spec, key) != Task.model_fields[key].default and key not in getattr(kind, "KEYS", ())
    ]
    found = "dataset" if spec.dataset is not None else "corpus" if spec.corpus is not None else "folder"
    if found != kind.SOURCE and not (found == "dataset" and hasattr(kind, "read_dataset")):
        return [*faults, f"{where}: found `{found}:`, but the kind {spec.kind!r} needs `{kind.SOURCE}:`"]
    if spec.metric == "r2" and (kind.CLASSES is not None or kind.UNIT == "token"):
        faults.append(f"{where}.metric: found r2, but rows of the kind {spec.kind!r} have classes; write accuracy")
    elif spec.classes is not None and (spec.metric == "r2" or kind.CLASSES is not None):
        has = "metric r2 predicts a number" if spec.metric == "r2" else f"the kind {spec.kind!r} gives its classes"
        faults.append(f"{where}.classes: found {', '.join(spec.classes)}, but {has}; take `classes:` out")
    least, most = min(spec.rows.model_dump().values()), spec.negatives.per_positive if spec.negatives is not None else 0
    if most >= least:
        faults.append(
            f"{where}.negatives.per_positive: found {most}, and `rows:` asks for {least} in a split, so no matching "
            f"pair has a place beside its negatives; write {least - 1} or fewer, or ask for more rows"
        )
    if spec.balanced and spec.metric == "r2":
        faults.append(f"{where}.balanced: metric r2 predicts a number, of no class; take `balanced:` out")
    if spec.corpus is not None:
        language = params.prepare.corpora[spec.corpus].language
        if language not in getattr(kind, "LANGUAGES", ("python",)):
            faults.append(
                f"{where}: the corpus {spec.corpus!r} is of language {language}, which the kind {spec.kind!r} does not "
                "read; write `kind: source-tokens`, or another corpus"
            )
        elif hasattr(kind, "classes"):
            try:
                kind.classes(spec, language)
            except PrepareError as error:
                faults.append(f"{where}: {error}")
    if spec.folder is not None:
        files = spec.files or {}
        roles = ", ".join(f"{role} ({'required' if required else 'optional'})" for role, required in kind.ROLES.items())
        unknown = [f"found the role {role!r}" for role in files if role not in kind.ROLES]
        missing = [f"no file has the role {role!r}" for role, need in kind.ROLES.items() if need and role not in files]
        faults += [f"{where}.files: {what}; the roles of the kind {spec.kind!r} are: {roles}"
                   for what in (unknown or missing)[:1]]  # fmt: skip
    return faults


def data_faults(params: Params, task: str) -> list[str]:
    """What :func:`prepare_task` would refuse of a task's files, which lie here: they are read whole, as it reads them.

    Nothing is told of a task on a corpus (see :func:`neurosieve.prepare.corpus.corpus_faults`) or a dataset of the hub.
    """
    spec, where = params.prepare.tasks[task], f"prepare.tasks.{task}"
    if spec.folder is None:
        return []
    kind, faults = load_kind(spec.kind), []
    files = spec.files or {}
    paths = params.data_files(spec.folder, files)
    try:
        check_files(where, paths, files)
    except PrepareError as error:
        faults = str(error).splitlines()
    try:
        _made(params, task, kind, _records(kind, spec, paths, where))
    except PrepareError as error:
        faults += str(error).splitlines()
    return faults


def _read(kind: Kind, spec: Task, params: Params, paths: Paths, task: str) -> list[Record]:
    """Records of a task; files of data are pinned by their sha256 in the settings."""
    where = f"prepare.tasks.{task}"
    if faults := entry_faults(params, task):
        raise PrepareError("\n".join(faults))
    if spec.dataset is not None:
        try:
            return kind.read_dataset(spec.dataset, spec)
        except PrepareError as error:
            raise _of_task(where, error) from None
    if spec.corpus is not None:
        return read_corpus(paths.corpus(spec.corpus))
    assert spec.folder is not None
    found_files = params.data_files(spec.folder, spec.files or {})
    check_files(where, found_files, spec.files or {})
    return _records(kind, spec, found_files, where)


def _records(kind: Kind, spec: Task, files: dict[str, Path], where: str) -> list[Record]:
    try:
        return kind.read(files, spec)
    except PrepareError as error:
        raise _of_task(where, error) from None


def _of_task(where: str, error: PrepareError) -> PrepareError:
    return PrepareError("\n".join(f"{where}: {line}" for line in str(error).splitlines()))


def _check_labels(where: str, spec: Task, kind: Kind, records: list[Record]) -> None:
    """Raise PrepareError where a label or a number is missing, or where labels are not those that the task names."""
    if kind.CLASSES is not None or kind.UNIT == "token":  # tags that are no classes are the context of others
        return
    number = spec.metric == "r2"
    faults: list[str] = []
    for record in records:
        at = record.where or f"{record.file}: {record.name}"
        if number and record.target is None:
            faults.append(f"{where}: {at}: no number to predict; name its column, or another `metric:` than r2")
        elif not number and record.label is None:
            faults.append(f"{where}: {at}: no label; name its column, or write `metric: r2` to predict a number")
        elif spec.classes is not None and record.label not in spec.classes:
            faults.append(
                f"{where}: {at}: found the label {record.label!r}, which is not among `classes:` "
                f"({', '.join(spec.classes)}); add it there, or take the row out"
            )
    labels = {record.label for record in records if record.label is not None}
    if spec.classes is not None and (none := [name for name in spec.classes if name not in labels]):
        faults.insert(
            0,
            f"{where}.classes: found {', '.join(map(repr, none))}, of which the data have no row; the labels are: "
            f"{', '.join(sorted(labels))}",
        )
    raise_faults(Path(where), faults, "rows with such faults")


def _check_names(where: str, records: list[Record]) -> dict[str, dict[str, Any]]:
    """Notices of labels, packages and files that are likely meant to be one though they are written in two ways.

    Raises PrepareError where they differ by nothing that a reader sees: white space, Unicode form, invisible marks.
    """
    names: dict[str, dict[str, str]] = {"label": {}, "package": {}, "file": {}}
    for record in records:
        for label in record.tags or (record.label,):
            if label is not None:
                names["label"].setdefault(label, record.where)
        names["package"].setdefault(record.package, record.where)
        names["file"].setdefault(record.file, record.where)
    faults: list[str] = []
    notices: dict[str, dict[str, Any]] = {}
    for what, first in names.items():
        looks: dict[str, str] = {}
        spelt: dict[str | Decimal, str] = {}
        for name, at in first.items():
            look = seen_as(name)
            other = looks.setdefault(look, name)
            if other != name:
                write = look if look in (name, other) else other
                faults.append(
                    f"{where}: {at}: found the {what} {name!a}, which differs from {other!a} in {first[other]} "
                    f"by white space, Unicode form or invisible characters alone; write {write!a} in both"
                )
            elif what != "file":
                other = spelt.setdefault(spelling(look), name)
                if other != name:
                    reason = f"{what} {name!r} beside {other!r}: the same but for case or the form of a number?"
                    notices[reason] = {"count": 1, "first": at.rpartition("/")[2]}
    raise_faults(Path(where), faults, "such names")
    return notices


def _notices(records: list[Record], parts: dict[str, list[Record]]) -> dict[str, dict[str, Any]]:
    """What is kept as it is though a user should know: {reason: {"count": records, "first": "file:line"}}."""
    found: dict[str, dict[str, Any]] = {}

    def add(reason: str, record: Record) -> None:
        at = record.where.rpartition("/")[2] or f"{record.file} ({record.name})"
        found.setdefault(reason, {"count": 0, "first": at})["count"] += 1

    of_text = cache(text_notices)  # a function stands in many pairs
    for record in records:
        for reason in dict.fromkeys(of_text(record.text) + of_text(record.right or "")):
            add(reason, record)
    part_of: dict[tuple[str, str], str] = {}
    package_part: dict[str, str] = {}
    label_of: dict[tuple[str, ...], str | float | None] = {}
    for part, members in parts.items():
        for record in members:
            if part_of.setdefault((record.package, record.file), part) != part:
                add("of a file that an earlier split has too", record)
            given = record.split is not None and record.package not in NO_PACKAGE
            if given and package_part.setdefault(record.package, part) != part:
                add("of a package that an earlier split has too", record)
            if record.right is not None and record.key == record.right_key:
                add("pair of two texts that are equal but for white space", record)
            keys = (part, *sorted((record.key, record.right_key)))  # a pair the other way round is a copy, too
            label = record.label if record.target is None else record.target
            if label_of.setdefault(keys, label) != label:
                add("copy of one of the split with another label", record)
    return dict(sorted(found.items()))


def _check_balance(
    where: str, spec: Task, kind: Kind, split: str, classes: tuple[str, ...], records: list[Record]
) -> None:
    """Raise PrepareError where two balanced classes are asked for and a split lacks one of them."""
    labels = Counter(record.label for record in records)
    if not spec.balanced or kind.UNIT == "token" or len(classes) != 2 or not any(labels[name] for name in classes):
        return  # without any: the records are no rows yet (pairs are made of them), or the split is empty
    for lacking, other in (classes, classes[::-1]):
        if not labels[lacking]:
            what = "pair that is left has both functions in it" if kind.UNIT == "pair" else "text that is left is in it"
            raise PrepareError(
                f"{where}.balanced: {split} has {labels[other]} rows of {other!r} and none of {lacking!r}: no such "
                f"{what}; add rows of {lacking!r}, give {split} a larger share, or take `balanced:` out"
            )


def _check(
    task: str,
    spec: Task,
    kind: Kind,
    classes: tuple[str, ...],
    samples: dict[str, Sample],
    left_out: Counter[str],
    train: list[Record],
) -> None:
    """Raise PrepareError where no probe could be trained or scored; ``train``: the records of that split."""
    why = "; ".join(f"{reason}: {n}" for reason, n in sorted(left_out.items()) if n)
    for split, sample in samples.items():
        if not sample.rows:
            raise PrepareError(
                f"task {task!r}: split {split} has no rows (left out: {why or 'nothing'}); add files to its packages "
                "(tune and judge need two files of a package) or raise `max_characters`"
            )
    at = f" (the first: {train[0].where})" if train[0].where else ""
    if not classes:
        for split, sample in samples.items():  # R2 is not defined on equal numbers
            values = {row["target"] for row in sample.rows}
            if len(values) < 2:
                first = at if split == "train" else ""
                raise PrepareError(
                    f"task {task!r}: every {split} row{first} has the target {values.pop():g}; add other rows"
                )
            large = max(map(abs, values))
            if large > LARGEST or max(values) - min(values) < APART * large or large < 1 / LARGEST:
                raise PrepareError(
                    f"task {task!r}: the targets of {split} lie between {min(values):g} and {max(values):g}, where R2 "
                    "would be made of rounding errors; write them in another unit, or from another zero"
                )
        return
    for split, sample in samples.items():  # whoever names that class is right each time
        found = Counter(row["label"] for row in sample.rows)
        if len(found) < 2:
            only, number = classes[next(iter(found))], len(sample.rows)
            first, what = (at, "learn") if split == "train" else ("", "tell apart")
            share = ", another `tune_share:`" if split in ("tune", "judge") else ""
            told = f" (left out of the task: {why})" if why else ""
            raise PrepareError(
                f"task {task!r}: every {split} row{first} is {only!r} (found {number}), so there is nothing to {what}; "
                f"add rows of another class to it: other packages, more files or rows{share}{told}"
            )
    found = Counter(row["label"] for row in samples["train"].rows)
    if kind.CLASSES is None and not hasattr(kind, "classes") and len(found) < len(classes):
        none = ", ".join(name for label, name in enumerate(classes) if label not in found)
        more = ", or name the other tags under `classes:`" if kind.UNIT == "token" and spec.classes is None else ""
        raise PrepareError(
            f"task {task!r}: no train row of {none}; add train rows of it or take its other rows out{more}"
        )
    if spec.metric == "macro_f1" and not _scored(samples):
        raise PrepareError(
            f"task {task!r}: no class has {SCORED_ROWS} rows in {SCORED_FILES} files in both judge and test, "
            "so there is no macro-F1; ask for more rows, add files, or write `metric: accuracy`"
        )


def _scored(samples: dict[str, Sample]) -> list[int]:
    """Labels that have enough rows and files in judge and in test; none where rows have numbers instead."""
    enough: list[set[int]] = []
    for split in ("judge", "test"):
        sample = samples[split]
        labelled = [row for row in sample.rows if "label" in row]
        rows = Counter(row["label"] for row in labelled)
        files = Counter(label for label, _ in {(r["label"], sample.inputs[r["input"]]["file"]) for r in labelled})
        enough.append({label for label in rows if rows[label] >= SCORED_ROWS and files[label] >= SCORED_FILES})
    return sorted(enough[0] & enough[1])


def _card(
    params: Params, task: str, kind: Kind, classes: tuple[str, ...], samples: dict[str, Sample], left_out: Counter[str]
) -> dict[str, Any]:
    """What card.json holds: the task in numbers, for the later phases and for the leaderboard."""
    spec = params.prepare.tasks[task]
    token = kind.UNIT == "token"
    train = Counter(row["label"] for row in samples["train"].rows if classes)
    majority = min(train, key=lambda label: (-train[label], label), default=None)
    splits: dict[str, Any] = {}
    share: dict[str, float] = {}
    for split, sample in samples.items():
        labels = Counter(row["label"] for row in sample.rows if classes)
        packages = Counter(sample.inputs[row["input"]]["package"] for row in sample.rows)
        splits[split] = {
            "rows": len(sample.rows),
            "inputs": len(sample.inputs),
            "files": len({i["file"] for i in sample.inputs}),
            "characters": sum(len(i["text"]) for i in sample.inputs),
            "packages": dict(sorted(packages.items())),
            "labels": {name: labels[label] for label, name in enumerate(classes)},
            "seen_rows": sum(row["seen"] for row in sample.rows) if token else None,
            **sample.facts,
        }
        if majority is not None:
            share[split] = labels[majority] / len(sample.rows)
    corpus = params.prepare.corpora[spec.corpus] if spec.corpus is not None else None
    wheels = {w.name: w.licence for w in corpus.wheels or ()} if corpus is not None else {}
    targets = {s: _moments([r["target"] for r in x.rows]) for s, x in samples.items()} if not classes else {}
    used = sorted({package for facts in splits.values() for package in facts["packages"]})
    short = {split: getattr(spec.rows, split) - facts["rows"] for split, facts in splits.items()}
    return {
        "task": task,
        "kind": spec.kind,
        "unit": kind.UNIT,
        "description": kind.DESCRIPTION,
        "classes": list(classes),
        "metric": spec.metric,
        "resampled": dict(zip(("key", "name"), getattr(kind, "RESAMPLED", ("file", "files")), strict=True)),
        "scored_classes": _scored(samples),
        "splits": splits,
        "types": {s: len({row["type"] for row in x.rows}) for s, x in samples.items()} if token else None,
        "majority": {"class": classes[majority], "share": share} if majority is not None else None,
        "target": None if classes else {**targets["train"], "splits": targets},
        "licences": {package: wheels.get(package, corpus.licence if corpus is not None else None) for package in used},
        "left_out": {reason: n for reason, n in sorted(left_out.items()) if n},
        "short": {split: n for split, n in short.items() if n > 0},
    }


def _moments(values: list[float]) -> dict[str, float]:
    """Mean, standard deviation, least and greatest; exact sums, so the bits are those of any machine."""
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return {"mean": mean, "std": deviation, "min": min(values), "max": max(values)}

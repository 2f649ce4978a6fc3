"""The labelled rows of a task in four splits, and its card.

Reads a corpus artifact, or a user's data.jsonl. Writes prepare/tasks/<task>/{train,tune,judge,test}, each with
inputs.jsonl and rows.jsonl, and prepare/tasks/<task>/card with card.json.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from neurosieve.artifacts import Paths, Writer
from neurosieve.config import SPLITS, Params, Task
from neurosieve.prepare.corpus import read_corpus
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want
from neurosieve.prepare.splits import assign, by_package, rng
from neurosieve.prepare.tasks import Kind, load_kind

log = logging.getLogger(__name__)

# A class is scored (macro-F1) where judge and test both have so many rows of it, in so many files (METHOD 3.1).
SCORED_ROWS = 20
SCORED_FILES = 5


def prepare_task(params: Params, paths: Paths, *, task: str) -> None:
    """Write the four splits and the card of a task of params.yaml.

    Raises
    ------
    PrepareError : bad data, a package without functions, an empty split, a class or classes that cannot be learned.
    """
    spec = params.prepare.tasks[task]
    kind = load_kind(spec.kind)
    records, sources = _read(kind, spec, params, paths, task)
    parts = by_package(records, spec.packages, f"prepare.tasks.{task}")
    members, left_out = assign(parts, lambda r: kind.why_not(r, spec), kind.PER_FILE, spec.tune_share, params.seed)
    classes = kind.CLASSES or tuple(spec.classes or _labels(members))
    samples: dict[str, Sample] = {}
    for split in SPLITS:
        want = Want(
            rows=getattr(spec.rows, split),
            classes=classes,
            max_rows_per_input=spec.max_rows_per_input,
            cap_per_type=spec.cap_per_type if split == "train" else None,
            rng=rng(params.seed, spec.kind, split),
            cap_per_class=-(-getattr(spec.rows, split) // len(classes)) if spec.balanced else None,
        )
        samples[split] = kind.build(members[split], want)
        left_out.update(samples[split].left_out)
    _check(task, spec, kind, classes, samples, left_out)
    if kind.UNIT == "token":
        types = {row["type"] for row in samples["train"].rows}
        for sample in samples.values():
            for row in sample.rows:
                row["seen"] = row["type"] in types
    card = _card(params, task, kind, classes, samples, left_out)
    folder = paths.task(task)
    settings = {"task": task, "seed": params.seed, "settings": spec.model_dump(mode="json", exclude={"folder"})}
    for split, sample in samples.items():
        with Writer(folder / split, "prepare", {**settings, "split": split}, sources) as out:
            out.jsonl("inputs.jsonl", sample.inputs)
            out.jsonl("rows.jsonl", sample.rows)
            facts = card["splits"][split]
            out.facts = {name: facts[name] for name in ("rows", "inputs", "files", "characters")}
            out.facts["left_out"] = {reason: n for reason, n in sorted(sample.left_out.items()) if n}
    with Writer(folder / "card", "prepare", settings, [folder / split for split in SPLITS]) as out:
        out.json("card.json", card)
        out.facts = {"left_out": card["left_out"], "short": card["short"]}
    log.info("task %s: rows %s, short %s", task, {s: len(x.rows) for s, x in samples.items()}, card["short"])


def _labels(members: dict[str, list[Record]]) -> list[str]:
    """Labels and tags of the records, sorted."""
    records = [record for split in members.values() for record in split]
    return sorted({tag for r in records for tag in (r.tags or (r.label,)) if tag is not None})


def _read(kind: Kind, spec: Task, params: Params, paths: Paths, task: str) -> tuple[list[Record], list[Path]]:
    """Records of a task, and the artifact or files they come from."""
    where = f"prepare.tasks.{task}"
    found = "corpus" if spec.corpus is not None else "folder"
    if found != kind.SOURCE:
        raise PrepareError(f"{where}: found `{found}:`, but the kind {spec.kind!r} needs `{kind.SOURCE}:`")
    if spec.corpus is not None:
        artifact = paths.corpus(spec.corpus)
        return read_corpus(artifact), [artifact]
    assert spec.folder is not None
    records = kind.read(Path(spec.folder) / getattr(kind, "DATA", "data.jsonl"), spec)
    return records, [Path(file) for file in params.task_files(task)]


def _check(
    task: str, spec: Task, kind: Kind, classes: tuple[str, ...], samples: dict[str, Sample], left_out: Counter[str]
) -> None:
    """Raise PrepareError where no probe could be trained or scored."""
    why = "; ".join(f"{reason}: {n}" for reason, n in sorted(left_out.items()) if n)
    for split, sample in samples.items():
        if not sample.rows:
            raise PrepareError(
                f"task {task!r}: split {split} has no rows (left out: {why or 'nothing'}); add files to its packages "
                "(tune and judge need two files of a package) or raise `max_characters`"
            )
    found = Counter(row["label"] for row in samples["train"].rows)
    if len(found) < 2:
        raise PrepareError(
            f"task {task!r}: every train row is {classes[next(iter(found))]!r}, so there is nothing to learn; "
            "add rows of another class"
        )
    if kind.CLASSES is None and len(found) < len(classes):
        none = ", ".join(name for label, name in enumerate(classes) if label not in found)
        raise PrepareError(f"task {task!r}: no train row of {none}; add train rows of it or take its other rows out")
    if spec.metric == "macro_f1" and not _scored(samples):
        raise PrepareError(
            f"task {task!r}: no class has {SCORED_ROWS} rows in {SCORED_FILES} files in both judge and test, "
            "so there is no macro-F1; ask for more rows, add files, or write `metric: accuracy`"
        )


def _scored(samples: dict[str, Sample]) -> list[int]:
    """Labels that have enough rows and files in judge and in test."""
    enough: list[set[int]] = []
    for split in ("judge", "test"):
        sample = samples[split]
        rows = Counter(row["label"] for row in sample.rows)
        files = Counter(label for label, _ in {(r["label"], sample.inputs[r["input"]]["file"]) for r in sample.rows})
        enough.append({label for label in rows if rows[label] >= SCORED_ROWS and files[label] >= SCORED_FILES})
    return sorted(enough[0] & enough[1])


def _card(
    params: Params, task: str, kind: Kind, classes: tuple[str, ...], samples: dict[str, Sample], left_out: Counter[str]
) -> dict[str, Any]:
    """What card.json holds: the task in numbers, for the later phases and for the leaderboard."""
    spec = params.prepare.tasks[task]
    token = kind.UNIT == "token"
    train = Counter(row["label"] for row in samples["train"].rows)
    majority = min(train, key=lambda label: (-train[label], label))
    splits: dict[str, Any] = {}
    share: dict[str, float] = {}
    for split, sample in samples.items():
        labels = Counter(row["label"] for row in sample.rows)
        packages = Counter(sample.inputs[row["input"]]["package"] for row in sample.rows)
        splits[split] = {
            "rows": len(sample.rows),
            "inputs": len(sample.inputs),
            "files": len({i["file"] for i in sample.inputs}),
            "characters": sum(len(i["text"]) for i in sample.inputs),
            "packages": dict(sorted(packages.items())),
            "labels": {name: labels[label] for label, name in enumerate(classes)},
            "seen_rows": sum(row["seen"] for row in sample.rows) if token else None,
        }
        share[split] = labels[majority] / len(sample.rows)
    corpus = params.prepare.corpora[spec.corpus] if spec.corpus is not None else None
    wheels = {w.name: w.licence for w in corpus.wheels or ()} if corpus is not None else {}
    used = sorted({package for facts in splits.values() for package in facts["packages"]})
    short = {split: getattr(spec.rows, split) - facts["rows"] for split, facts in splits.items()}
    return {
        "task": task,
        "kind": spec.kind,
        "unit": kind.UNIT,
        "description": kind.DESCRIPTION,
        "classes": list(classes),
        "metric": spec.metric,
        "scored_classes": _scored(samples),
        "splits": splits,
        "types": {s: len({row["type"] for row in x.rows}) for s, x in samples.items()} if token else None,
        "majority": {"class": classes[majority], "share": share},
        "licences": {package: wheels.get(package, corpus.licence if corpus is not None else None) for package in used},
        "left_out": {reason: n for reason, n in sorted(left_out.items()) if n},
        "short": {split: n for split, n in short.items() if n > 0},
    }

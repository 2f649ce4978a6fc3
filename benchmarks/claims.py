"""NUMBER, STRING, IDENT and mixed "text" neurons of arXiv 2305.00875: are they there, and more than by chance?

    python benchmarks/claims.py --params presets/real-data.yaml [--build build] [--tasks java-tags python-tags]
                                [--out claims.json] [--models ...]
    python benchmarks/claims.py --figures claims.json
    python benchmarks/claims.py --results results/real-data

Reads what a run left in build/ (prepare, activations of train and judge, probes), writes nothing but --out, and prints
the tables in Markdown. No model is run; the same build gives the same figures.

As published: a class's neurons are those that hold the top 5 % of the probe's |weight| mass for it; of each neuron the
five token types with the largest mean |z| are looked at, and a person names it. Here the eye is a rule: READ of the
five types are of the class; a "text" neuron has READ of them in the identifiers and strings together, some of both and
fewer than READ in either. (The publication gives no rule.) A type's class is the one that most of its judge rows have.

Beside it a neuron is named as in concepts.json: by its correlation with the class, beyond what labels permuted over
token types give the farthest of all neurons of the model, all claims and both directions, at the level of the params
file. A text neuron is named after identifiers and strings together, with which it goes more than with either.

With --results alone the published rows of a benchmark are read instead: how many of the described neurons of the
minimal subsets are named after each class, in the trained models and in their untrained twins.

Both counts are of the class's neurons, of RANDOM draws of as many other neurons of the same layers, and of the
untrained twin, whose own probe chooses its neurons. "Beyond": the share is above that of 95 % of the draws and above
the twin's.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from neurosieve.artifacts import Paths, write_text
from neurosieve.concepts import read_tokens, z_scores
from neurosieve.concepts.metrics import scores
from neurosieve.concepts.null import Null, family_wise, judged_on_unseen, permuted_labels
from neurosieve.config import Params, load_params
from neurosieve.probes.features import layout

MASS = 0.05
TYPES, READ = 5, 4
RANDOM = 1000
TEXT = "text"
#: What was published, and the classes of the two published tag sets that it is about.
CLAIMS = {"NUMBER": ("NUMBER",), "STRING": ("STRING",), "IDENT": ("IDENT", "NAME"), TEXT: ()}
IDENTIFIERS = ("IDENT", "NAME")
RULES = {"eye": "by eye, five types", "ours": "correlation, permuted labels"}
COMMAND = "python benchmarks/claims.py --figures"

Row = dict[str, Any]


def heaviest(weights: np.ndarray, share: float = MASS) -> np.ndarray:
    """Places of the shortest prefix, by falling |weight|, that holds ``share`` of the mass. weights : (neurons,)."""
    mass = np.abs(weights.astype(np.float64))
    order = np.argsort(-mass, kind="stable")
    reached = np.cumsum(mass[order]) >= share * mass.sum() * (1 - 1e-12)
    return order[: int(np.argmax(reached)) + 1] if mass.sum() > 0 else order[:0]


def strongest_types(size: np.ndarray, codes: np.ndarray, top: int = TYPES) -> np.ndarray:
    """Codes of the ``top`` types of largest mean |z| of every neuron, (neurons, top); -1 where there are fewer.

    size : (rows, neurons) |z|; codes : (rows,) type of each row. No type is too rare, as published. Ties by code.
    """
    count = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    mean = np.add.reduceat(size[order], np.cumsum(count) - count, axis=0) / count[:, None]
    best = np.argsort(-mean, axis=0, kind="stable")[:top].T
    return np.pad(best, ((0, 0), (0, top - best.shape[1])), constant_values=-1)


def by_eye(types: np.ndarray, class_of: np.ndarray, classes: tuple[int, ...], mixed: bool) -> np.ndarray:
    """Whether each neuron would be named: READ of its types are of the classes; ``mixed``: of none of them alone.

    types : (neurons, top) from strongest_types; class_of : (types,) class of each type.
    """
    of = np.where(types >= 0, class_of[types], -1)
    per_class = np.stack([(of == c).sum(axis=1) for c in classes], axis=1)
    return (per_class.sum(axis=1) >= READ) & (not mixed or (per_class < READ).all(axis=1))


@dataclass(frozen=True)
class Cell:
    """All neurons of a model that are not constant, on one task: their layers, whether either rule names them after a
    claim, and the neurons that are a claim's own by the probe, as places among them. judged : on which rows; types :
    share of the judge types that are of the claim's classes."""

    layers: np.ndarray
    eye: dict[str, np.ndarray]
    ours: dict[str, np.ndarray]
    own: dict[str, np.ndarray]
    judged: dict[str, str]
    types: dict[str, float]


def read_cell(params: Params, paths: Paths, model: str, task: str) -> Cell:
    features = layout(paths, params, model, task)
    if features.unit != "token":
        raise SystemExit(f"--tasks: found {task!r}, a task on whole {features.unit}s; name tasks on tokens")
    names = {claim: [c for c in features.classes if c in of] for claim, of in CLAIMS.items()}
    names[TEXT] = [c for c in features.classes if c in (*IDENTIFIERS, "STRING")]
    claims = {claim: tuple(features.classes.index(c) for c in of) for claim, of in names.items() if of}
    folder = paths.probes(model, task)
    kept, weights = np.load(folder / "kept.npy"), load_file(folder / "weights.safetensors")["weights"]
    X = features.load("judge", kept)
    tokens, labels, seen = read_tokens(paths, task), features.labels("judge"), features.seen("judge")
    assert seen is not None
    counts = np.zeros((len(tokens.names), len(features.classes)), np.int64)
    np.add.at(counts, (tokens.codes, labels), 1)
    types, class_of = strongest_types(np.abs(z_scores(features, kept, X)), tokens.codes), counts.argmax(axis=1)
    eye = {claim: by_eye(types, class_of, of, claim == TEXT) for claim, of in claims.items()}
    ours, judged = _named(params, X, labels, tokens.codes, seen, claims, task)
    own = {claim: np.unique(np.concatenate([heaviest(weights[:, c]) for c in of])) for claim, of in claims.items()}
    share = {claim: float(np.isin(class_of, of).mean()) for claim, of in claims.items()}
    return Cell(kept // features.width, eye, ours, own, judged, share)


def _named(
    params: Params,
    X: np.ndarray,
    labels: np.ndarray,
    codes: np.ndarray,
    seen: np.ndarray,
    claims: dict[str, tuple[int, ...]],
    task: str,
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Which neurons are named after each claim, by correlation and permuted labels; on which rows each is judged."""
    settings = params.concepts
    rng = np.random.default_rng([params.seed, zlib.crc32(b"claims"), zlib.crc32(task.encode())])
    drawn = permuted_labels(labels, codes, settings.permutations, rng, seen.astype(np.int64))
    found, judged, parts = [], {}, {}
    for claim, of in claims.items():
        member = np.isin(labels, of)
        unseen = judged_on_unseen(member[~seen], codes[~seen])
        at, judged[claim] = (~seen, "unseen") if unseen else (np.ones(len(labels), bool), "all")
        found.append(scores("correlation", X[at], np.isin(drawn[:, at], of).astype(np.int64), [1])[:, :, 0])
        parts[claim] = at
    null = Null(np.nan_to_num(np.stack(found, axis=2)), list(range(len(found))), np.zeros(len(found), bool))
    z, names = null.z, list(claims)
    ours = {}
    for i, claim in enumerate(names):
        evidence = np.where(null.scores[0, :, i] > 0, np.maximum(z[0, :, i], 0), 0)
        ours[claim] = family_wise(evidence.max(axis=1), z) <= settings.level
    if TEXT in claims:
        at, of = parts[TEXT], claims[TEXT]
        each = scores("correlation", X[at], labels[None, at], list(of))[0]
        both = null.scores[0, :, names.index(TEXT)]
        direction = both.argmax(axis=1)
        rows = np.arange(len(both))
        ours[TEXT] &= (both[rows, direction][:, None] > each[rows, :, direction]).all(axis=1)
    return ours, judged


def shares(cell: Cell, claim: str, seed: list[int]) -> Row:
    """Share of the claim's own neurons that are named, by rule, and of random ones: mean and 95 % quantile of draws."""
    own = cell.own[claim]
    rng = np.random.default_rng(seed)
    per_layer = np.bincount(cell.layers[own], minlength=int(cell.layers.max()) + 1)
    others = [np.setdiff1d(np.flatnonzero(cell.layers == i), own) for i in range(len(per_layer))]
    if short := [i for i, (o, n) in enumerate(zip(others, per_layer, strict=True)) if len(o) < n]:
        raise SystemExit(f"{claim}: layer {short[0]} has too few other neurons to draw as many at random")
    drawn = [
        np.concatenate([rng.choice(o, n, replace=False) for o, n in zip(others, per_layer, strict=True)])
        for _ in range(RANDOM)
    ]
    row: Row = {"neurons": len(own), "per_layer": per_layer.tolist(), "judged": cell.judged[claim]}
    row["types"] = cell.types[claim]
    for rule, named in (("eye", cell.eye[claim]), ("ours", cell.ours[claim])):
        random = np.array([named[d].mean() for d in drawn])
        row[rule] = {
            "named": int(named[own].sum()),
            "share": float(named[own].mean()),
            "random": float(random.mean()),
            "random_95": float(np.quantile(random, 0.95)),
            "of_all": float(named.mean()),
        }
    return row


def measure(params: Params, paths: Paths, tasks: list[str], models: list[str], out: Path | None = None) -> list[Row]:
    """A row for every task, claim and trained model, its twin's figures beside its own; written as far as they are."""
    rows: list[Row] = []
    for task in tasks:
        for model in models:
            twin = next((m for m, entry in params.models.items() if entry.untrained == model), None)
            cell = read_cell(params, paths, model, task)
            beside = None if twin is None else read_cell(params, paths, twin, task)
            for claim in cell.own:
                seed = [params.seed, *(zlib.crc32(s.encode()) for s in (model, task, claim))]
                row = {"task": task, "claim": claim, "model": model} | shares(cell, claim, seed)
                for rule in ("eye", "ours"):
                    of = None if beside is None else float(getattr(beside, rule)[claim][beside.own[claim]].mean())
                    row[rule] |= {
                        "twin": of,
                        "beyond": row[rule]["share"] > max(row[rule]["random_95"], -1 if of is None else of),
                    }
                rows.append(row)
            print(f"{task} {model}", file=sys.stderr)
            if out is not None:
                write_text(out, json.dumps(rows, indent=1, sort_keys=True) + "\n")
    return rows


def of_results(folder: Path, tasks: list[str]) -> list[Row]:
    """Per task and claim of published rows: described and named neurons and models with a named one, of trained models
    and of untrained twins. "text" is in no row."""
    found: dict[tuple[str, str], Row] = {}
    there: set[str] = set()
    for file in sorted((folder / "rows").glob("*.json")):
        row = json.loads(file.read_text(encoding="utf-8"))
        there.add(row["task"])
        if row["task"] not in tasks or row["protocol"] != "strict":
            continue
        side = "trained" if row["control_of"] is None else "twins"
        for claim, classes in CLAIMS.items():
            if not set(classes) & set(row["concepts"]["tested"]):
                continue
            empty = {"described": 0, "named": 0, "models": 0, "with_one": 0}
            line = found.setdefault(
                (row["task"], claim),
                {"task": row["task"], "claim": claim, "trained": dict(empty), "twins": dict(empty)},
            )
            named = sum(neuron["concept"] in classes for neuron in row["concepts"]["neurons"])
            line[side]["described"] += row["concepts"]["described"]
            line[side]["named"] += named
            line[side]["models"] += 1
            line[side]["with_one"] += named > 0
    _known("--tasks", tasks, there, f"{folder / 'rows'} has")
    return [found[key] for key in sorted(found, key=lambda k: (tasks.index(k[0]), list(CLAIMS).index(k[1])))]


def results_table(lines: list[Row], folder: Path) -> str:
    """Claim, what was found, figure, command."""
    out = ["| claim | found | figure | command |", "| --- | --- | --- | --- |"]
    for line in lines:
        ours, twins = line["trained"], line["twins"]
        told = "not found" if not ours["named"] else f"in {ours['with_one']} of {ours['models']} trained models"
        if ours["named"]:
            told += f", and in {twins['with_one']} of {twins['models']} untrained twins"
        figure = (
            f"{ours['named']} of {ours['described']} described neurons; twins {twins['named']} of {twins['described']}"
        )
        command = f"`python benchmarks/claims.py --results {folder.as_posix()}`"
        out.append(f"| {line['claim']} neurons, {line['task']} | {told} | {figure} | {command} |")
    return "\n".join(out)


def _known(option: str, names: Collection[str], known: Collection[str], told: str) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"{option}: found {unknown[0]!r}; {told} {', '.join(sorted(known)) or 'nothing'}")


def verdict(rows: list[Row], rule: str) -> str:
    """In words, over the models of a task."""
    named = sum(row[rule]["named"] > 0 for row in rows)
    beyond = sum(row[rule]["beyond"] for row in rows)
    if not named:
        return "not found"
    if not beyond:
        return f"found in {named} of {len(rows)}, in none beyond random neurons and the twin"
    return f"found in {named} of {len(rows)}, in {beyond} beyond random neurons and the twin"


def figure(rows: list[Row], rule: str) -> str:
    """Shares over the neurons of all models of a task: own, random; and the mean of the twins' shares."""
    neurons = sum(row["neurons"] for row in rows)
    named = sum(row[rule]["named"] for row in rows)
    random = sum(row[rule]["random"] * row["neurons"] for row in rows) / neurons
    twins = [row[rule]["twin"] for row in rows if row[rule]["twin"] is not None]
    told = f"{named} of {neurons} ({named / neurons:.0%}); random {random:.0%}"
    return told + (f"; twins {sum(twins) / len(twins):.0%}" if twins else "")


def tables(rows: list[Row], command: str) -> str:
    """Two tables in Markdown: a line per task, claim and rule (claim, found, figure, command), and a line per model."""
    keys = list(dict.fromkeys((row["task"], row["claim"]) for row in rows))
    short = ["| claim | rule | found | figure | command |", "| --- | --- | --- | --- | --- |"]
    for task, claim in keys:
        of = [row for row in rows if (row["task"], row["claim"]) == (task, claim)]
        for rule, name in RULES.items():
            cells = [f"{claim} neurons, {task}", name, verdict(of, rule), figure(of, rule), f"`{command}`"]
            short.append("| " + " | ".join(cells) + " |")
    long = [
        "| task | neurons for | model | neurons | by eye | random | twin | by correlation | random | twin |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = [row["task"], row["claim"], row["model"], str(row["neurons"])]
        for rule in ("eye", "ours"):
            of = row[rule]
            mark = "**" if of["beyond"] else ""
            twin = "-" if of["twin"] is None else f"{of['twin']:.0%}"
            cells += [f"{mark}{of['share']:.0%}{mark}", f"{of['random']:.0%} (95 %: {of['random_95']:.0%})", twin]
        long.append("| " + " | ".join(cells) + " |")
    return "\n".join(short) + "\n\n" + "\n".join(long)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--params", type=Path, help="params file of a run whose build is at hand")
    source.add_argument("--figures", type=Path, help="what --out wrote, to print the tables again")
    source.add_argument("--results", type=Path, help="published results of one benchmark")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--tasks", nargs="+", default=["java-tags", "python-tags"])
    parser.add_argument("--models", nargs="+", help="trained models; by default all of the run")
    parser.add_argument("--out", type=Path, help="a JSON file of the figures")
    given = parser.parse_args(arguments)
    if given.results:
        print(results_table(of_results(given.results, given.tasks), given.results))
        return
    if given.figures:
        print(tables(json.loads(given.figures.read_text(encoding="utf-8")), f"{COMMAND} {given.figures.as_posix()}"))
        return
    params = load_params(given.params)
    trained = [m for m in params.run.models if params.models[m].untrained is None]
    models = given.models or trained
    _known("--models", models, trained, "the trained models of the run are")
    _known("--tasks", given.tasks, params.run.tasks, "the tasks of the run are")
    rows = measure(params, Paths(params.benchmark, given.build), given.tasks, models, given.out)
    print(tables(rows, f"python benchmarks/claims.py --params {given.params.as_posix()}"))


if __name__ == "__main__":
    main()

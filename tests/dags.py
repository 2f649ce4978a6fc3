"""What keeps DVC's stages and Snakemake's rules one flow: pure functions that return the faults, as sentences."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from neurosieve import config
from neurosieve.config.names import lens_names

SHARED = ("workflow/Snakefile", "workflow/rules/common.smk")  # every stage runs them


ROOT = Path(__file__).parents[1]


def with_every_question(text: str | None = None) -> str:
    """A params file, params.yaml unless another is given, with all that can be asked of neurons, of few tokens."""
    found = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8") if text is None else text)
    corpus = next(iter(found["prepare"]["corpora"]))
    task = next(entry for entry in found["prepare"]["tasks"].values() if "packages" in entry)
    packages = task["packages"]
    few = {"tokens": 20, "window": 24, "per_window": 4}
    found["concepts"] |= {
        "ablation": {**few, "amounts": [0.0], "random_draws": 2},
        "attribution": few,
        "faithfulness": {**few, "shares": [0.1, 0.5, 1.0], "orders": ["chosen", "relp"], "random_orders": 2},
        "effects": {**few, "outside": 10, "doses": [0, 0.5, 1, 2], "random_draws": 2, "members": 2, "readout": 5},
        "lenses": {name: {} for name in lens_names()},
        "heat_maps": {"neurons": 2},
        "languages": {
            "sources": {
                "one": {"corpus": corpus, "packages": packages["train"]},
                "two": {"corpus": corpus, "packages": packages["dev"]},
            },
            "subwords": 300,
            "tokens": 20,
            "random_draws": 2,
            "ablation_draws": 2,
            "permutations": 19,
            "predict_window": 24,
        },
    }
    return yaml.safe_dump(found, sort_keys=False)


def inside(path: str, folders: Iterable[str]) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in folders)


def path_of(entry: Any, benchmark: str) -> str:
    """Path of a dep or an out, with or without options."""
    name = entry if isinstance(entry, str) else next(iter(entry))
    return name.replace("${benchmark}", benchmark)


def options_of(entry: Any) -> dict[str, Any]:
    return {} if isinstance(entry, str) else dict(next(iter(entry.values())))


def allowed(stage: Mapping[str, Any]) -> list[str]:
    """The rules that a stage allows; none where its command names none."""
    return stage["cmd"].partition("--allowed-rules ")[2].split()


def target(stage: Mapping[str, Any]) -> str:
    found = re.fullmatch(r"snakemake (\w+) .*", stage["cmd"])
    return found[1] if found else ""


def rules_of(smk: str) -> list[str]:
    """Rules in the text of a rule file, in its order."""
    return re.findall(r"^(?:rule|checkpoint) (\w+):", smk, re.MULTILINE)


def faults(
    stages: Mapping[str, Mapping[str, Any]],
    jobs: list[dict[str, Any]],
    rule_files: Mapping[str, str],
    params: config.Params,
    phase_keys: Mapping[str, tuple[str, ...]] = config.PHASE_KEYS,
) -> list[str]:
    """All faults of the two engines, sorted; none where they describe one flow.

    ``jobs`` are those of every phase's target and of the whole benchmark, as tests/list_jobs.py prints them;
    ``rule_files`` the text of each phase's rule file.
    """
    work = [job for job in jobs if job["output"]]
    return sorted(
        {
            *target_faults(stages, jobs),
            *rule_faults(stages, rule_files),
            *out_faults(stages, work, params.benchmark),
            *dep_faults(stages, work, params.benchmark),
            *owner_faults(stages, work, params.benchmark),
            *key_faults(stages, params, phase_keys),
        }
    )


def target_faults(stages: Mapping[str, Any], jobs: list[dict[str, Any]]) -> list[str]:
    """The target of a stage makes what the benchmark wants of its phase, and no more than the benchmark wants."""
    found = []
    makers = {path: job for job in jobs for path in job["output"]}
    asked = {job["rule"]: job["input"] for job in jobs if not job["output"]}
    wanted = _reached(asked.get("all", []), makers)
    for name, stage in stages.items():
        if target(stage) != name:
            found.append(f"{name}: its command makes {target(stage) or 'no target'}, not {name}")
            continue
        made = _reached(asked.get(name, []), makers)
        own = {path for path in wanted | made if makers[path]["rule"] in allowed(stage)}
        found += [f"{name}: its target does not make {path}" for path in sorted(own & wanted - made)]
        found += [
            f"{name}: its target makes {path}, which the benchmark does not" for path in sorted(own & made - wanted)
        ]
    return found


def _reached(paths: Iterable[str], makers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The files among ``paths`` that a job makes, and all that are made for them."""
    found: set[str] = set()
    todo = [path for path in paths if path in makers]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [p for p in makers[path]["input"] if p in makers]
    return found


def rule_faults(stages: Mapping[str, Any], rule_files: Mapping[str, str]) -> list[str]:
    """A stage allows its target and every rule of its rule file, and no others."""
    found = []
    for name, stage in stages.items():
        wanted, given = rules_of(rule_files[name]), allowed(stage)
        found += [f"{name}: --allowed-rules lacks {rule}" for rule in wanted if rule not in given]
        found += [f"{name}: --allowed-rules has {rule}, which is not in its rule file" for rule in given
                  if rule not in wanted]  # fmt: skip
    return found


def out_faults(stages: Mapping[str, Any], jobs: list[dict[str, Any]], benchmark: str) -> list[str]:
    """What a rule makes lies inside the outs of its stage; nothing persists; only results/ is kept out of the cache."""
    found = []
    outs = {name: [path_of(out, benchmark) for out in stage["outs"]] for name, stage in stages.items()}
    for name, stage in stages.items():
        for job in jobs:
            if job["rule"] in allowed(stage):
                found += [
                    f"{name}: {job['rule']} makes {path} outside the outs of its stage"
                    for path in job["output"]
                    if not inside(path, outs[name])
                ]
        for out in stage["outs"]:
            options = options_of(out)
            if options.pop("persist", False):
                found.append(f"{name}: {path_of(out, benchmark)} persists")
            expected = {"cache": False} if path_of(out, benchmark) == f"results/{benchmark}" else {}
            if options != expected:
                found.append(f"{name}: {path_of(out, benchmark)} has options {options}, not {expected}")
    return found


def dep_faults(stages: Mapping[str, Any], jobs: list[dict[str, Any]], benchmark: str) -> list[str]:
    """What a stage reads from outside its outs is among its deps, and what is among them is read."""
    found = []
    for name, stage in stages.items():
        outs = [path_of(out, benchmark) for out in stage["outs"]]
        deps = [path_of(dep, benchmark) for dep in stage["deps"]]
        shared = (*SHARED, f"workflow/rules/{name}.smk")
        read = {
            path for job in jobs if job["rule"] in allowed(stage) for path in job["input"] if not inside(path, outs)
        }
        found += [
            f"{name}: reads {path}, which is not among its deps" for path in sorted(read) if not inside(path, deps)
        ]
        found += [f"{name}: lacks the dep {path}" for path in shared if path not in deps]
        found += [f"{name}: no rule reads its dep {dep}" for dep in deps
                  if dep not in shared and not any(inside(path, [dep]) for path in read)]  # fmt: skip
    return found


def owner_faults(stages: Mapping[str, Any], jobs: list[dict[str, Any]], benchmark: str) -> list[str]:
    """A rule has one stage, a file one rule, and no out lies in another."""
    found = []
    owners = Counter(rule for stage in stages.values() for rule in allowed(stage))
    found += [f"{rule}: {n} stages allow it" for rule, n in owners.items() if n > 1]
    found += [f"{rule}: no stage allows it" for rule in sorted({job["rule"] for job in jobs} - owners.keys())]
    makers: dict[str, set[str]] = {}
    for job in jobs:
        for path in job["output"]:
            makers.setdefault(path, set()).add(job["rule"])
    found += [f"{path}: made by {', '.join(sorted(rules))}" for path, rules in makers.items() if len(rules) > 1]
    outs = [(name, path_of(out, benchmark)) for name, stage in stages.items() for out in stage["outs"]]
    for i, (name, path) in enumerate(outs):
        for other, folder in outs[:i] + outs[i + 1 :]:
            if inside(path, [folder]):
                found.append(f"{name}: its out {path} lies in that of {other}")
    return found


def key_faults(
    stages: Mapping[str, Any], params: config.Params, phase_keys: Mapping[str, tuple[str, ...]]
) -> list[str]:
    """The params of a stage are the keys of its phase, and no rule's settings depend on any other key."""
    found = []
    for name, stage in stages.items():
        given, wanted = list(stage["params"]), list(phase_keys[name])
        found += [f"{name}: its params lack {key}" for key in wanted if key not in given]
        found += [f"{name}: its params have {key}, which its phase does not read" for key in given if key not in wanted]
        left = only(params, wanted)
        for rule in allowed(stage)[1:]:
            for wildcards in _wildcards(params):
                try:
                    same = left.settings(rule, **wildcards) == params.settings(rule, **wildcards)
                except (AttributeError, KeyError, TypeError):  # it reads what is not there
                    same = False
                if not same:
                    found.append(f"{name}: {rule} depends on a key that is not among its params")
                    break
    return found


def _wildcards(params: config.Params) -> list[dict[str, str]]:
    corpora, lenses = list(params.prepare.corpora), params.lenses or lens_names()
    return [
        {
            "model": model,
            "task": task,
            "corpus": corpora[i % len(corpora)] if corpora else "",
            "lens": lenses[i % len(lenses)],
        }
        for model in params.run.models
        for i, task in enumerate(params.run.tasks)
    ]


def only(params: config.Params, keys: Iterable[str]) -> config.Params:
    """Params in which all but the dotted ``keys`` are gone, but for the names of benchmark and version."""
    tops: dict[str, list[str]] = {}
    for key in keys:
        top, _, inner = key.partition(".")
        tops.setdefault(top, []).append(inner)
    kept: dict[str, Any] = {}
    for top, inner in tops.items():
        value = getattr(params, top)
        if "" not in inner and isinstance(value, BaseModel):
            value = type(value).model_construct(**{name: getattr(value, name) for name in inner})
            for name in type(value).model_fields.keys() - set(inner):
                value.__dict__.pop(name, None)  # model_construct fills in the defaults
        kept[top] = value
    return params.model_copy(update={name: kept.get(name) for name in type(params).model_fields})

"""A benchmark of any size, made up, and its jobs in one process: for rows about growth and about jobs side by side.

Lines of words with tags, as NeuroX's users have them; a model of RoBERTa's shape with random weights and the tokenizer
of neurosieve-base; all settings that are no sizes as in params.yaml. What such a model knows changes no time.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speed.common import ROOT, peak

NAME, TASK, MODEL, LAST = "sized", "tags", "sized", "search_subsets"
SPELLED = {
    "KEYWORD": "if else for in while return and or not def class with",
    "TYPE": "int float str bool bytes dict set tuple object complex",
    "MODIFIER": "public private static final async global",
    # operators and numbers: none before which the tokenizer leaves the white space a sub-word of its own, for NeuroX
    # takes that for the word's
    "OPERATOR": "( [ { : = + - * .",
    "IDENT": "self value other index name names node items key result data args path size count text line file state "
    "type left right start stop first last list width height score",
    "NUMBER": " ".join(str(number) for number in range(300) if number not in (64, 99)),
}
WORDS = {tag: words.split() for tag, words in SPELLED.items()}  # of each tag
WORDS["STRING"] = [f'"{name}"' for name in WORDS["IDENT"]]
WORDS["IDENT"] += [f"{a}_{b}" for a in WORDS["IDENT"][:20] for b in WORDS["IDENT"][10:]]
LINES = (
    "MODIFIER TYPE IDENT OPERATOR NUMBER",
    "KEYWORD IDENT OPERATOR IDENT OPERATOR",
    "IDENT OPERATOR STRING OPERATOR NUMBER",
    "TYPE IDENT OPERATOR IDENT",
)


def lines(tokens: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """Lines of words and of their tags, with at least ``tokens`` words; no line twice."""
    found: dict[str, str] = {}
    count = 0
    while count < tokens:
        tags = " ".join(rng.choices(LINES, k=2)).split()
        line = " ".join(rng.choice(WORDS[tag]) for tag in tags)
        if line not in found:
            found[line] = " ".join(tags)
            count += len(tags)
    return list(found), list(found.values())


def save_model(folder: Path, layers: int, width: int) -> None:
    """RoBERTa's shape: ``layers`` hidden states of ``width``, the embeddings' included."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models" / "neurosieve-base")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers - 1,
        num_attention_heads=max(1, width // 64), intermediate_size=4 * width, max_position_embeddings=514,
        type_vocab_size=1, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )  # fmt: skip
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


def settings(name: str, numerics: str, task: str, entry: Mapping[str, Any], layers: int, width: int) -> dict[str, Any]:
    """params.yaml with one model, in the folder `model`, and one task."""
    import yaml

    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["benchmark"], params["numerics"] = name, numerics
    params["run"] |= {"models": [MODEL], "tasks": [task], "protocols": ["strict"]}
    params["models"] = {MODEL: {"path": "model", "layers": layers, "width": width}}
    params["prepare"]["tasks"] = {task: dict(entry)}
    margins = params["subsets"]["margins"]
    params["subsets"]["margins"] = {key: margins[key] for key in margins if key in ("default", task)}
    params["subsets"]["transfer"] = False  # from one task to others, of which there are none
    return params


def make(folder: str, setting: str, tokens: int, layers: int, width: int) -> None:
    """A folder with params.yaml, model and data: ``tokens`` rows to train, as many to choose on, half to test."""
    import yaml

    place = Path(folder)
    (place / "data").mkdir(parents=True)
    save_model(place / "model", layers, width)
    rows = {"train": tokens, "tune": tokens // 4, "judge": 3 * tokens // 4, "test": tokens // 2}
    rng, files = random.Random(1), {}
    for role, wanted in (("train", tokens), ("dev", tokens), ("test", tokens // 2)):
        for ending, text in zip(("in", "label"), lines(2 * wanted, rng), strict=True):
            data = "".join(f"{line}\n" for line in text).encode()
            (place / "data" / f"{role}.{ending}").write_bytes(data)
            files[f"{role}.{ending}"] = {"name": f"{role}.{ending}", "sha256": hashlib.sha256(data).hexdigest()}
    entry = {"kind": "tagged-lines", "folder": "data", "files": files, "metric": "macro_f1", "rows": rows}
    params = settings(NAME, setting, TASK, entry | {"tune_share": 0.25}, layers, width)
    params["prepare"].pop("corpora", None)
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def jobs(folder: str, warm: str | None = None) -> dict[str, Any]:
    """Every job up to LAST, in the order of the chain, on a copy of ``folder``, which stays as it is.

    warm : another such folder whose jobs run first, so that imports are in no time. Returns `wall`, seconds of all jobs
    but those of prepare, and `rules`: {rule: {"cpu", "wall" (seconds), "mb" (above its start)}}.
    """
    if warm is not None:
        jobs(warm)
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="bench-") as copy:
        place = Path(copy) / "run"
        shutil.copytree(folder, place)
        os.chdir(place)
        try:
            rules = _run()
        finally:
            os.chdir(here)
    return {"wall": sum(rule["wall"] for name, rule in rules.items() if name != "prepare_task"), "rules": rules}


def _run() -> dict[str, dict[str, float]]:
    from neurosieve import chain, cli, config, numerics
    from neurosieve.artifacts import Paths

    params = config.load_params("params.yaml")
    numerics.check(params.numerics)
    paths = Paths(params.benchmark)
    done: set[tuple[str, ...]] = set()
    rules: dict[str, dict[str, float]] = {}
    for artifact in chain.artifacts(params, paths):
        module, function, names, _ = cli.COMMANDS[artifact.rule.replace("_", "-")]
        given = {name: artifact.wildcards[name] for name in names}
        job = (artifact.rule, *given.values())
        if job in done:
            continue
        if any(rule == LAST for rule, *_ in done):
            break
        done.add(job)
        call = getattr(importlib.import_module(f"neurosieve.{module}"), function)
        with peak() as memory:
            cpu, wall = time.process_time(), time.perf_counter()
            call(params, paths, **given)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        rules[artifact.rule] = {"cpu": cpu, "wall": wall, "mb": memory.above}
    return rules

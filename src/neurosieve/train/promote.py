"""Copy a finished model from the build folder to models/, with the card that says how it was made.

Reads `run.json`, `evaluation.json`, the weights and checkpoints of a run, the tokenizer and `corpus.json`;
writes `models/<name>/` in one move: either the whole new folder or what was there before.
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from neurosieve.artifacts import sha256_file
from neurosieve.train.files import read_json
from neurosieve.train.loop import ARCHITECTURES, AS_MASK, AS_RANDOM
from neurosieve.train.params import TrainError, load_params
from neurosieve.train.tokenizer import TOKENS_FILE

BUILD = Path("build/train")
MODELS = Path("models")
PARAMS = Path("workflow/train.yaml")

_REASONS = {
    "syntax_error": "with a syntax error",
    "too_short": "too short",
    "too_long": "too long",
    "in_task_wheel_exactly": "equal to a function of a task wheel",
    "in_task_wheel_folded": "equal to one but for names and white space",
    "duplicate": "equal to another one of the corpus",
    "above_share": "above the share that one wheel may give",
}


def card(name: str, run: dict[str, Any], evaluation: dict[str, Any], corpus: dict[str, Any]) -> str:
    """The model card in Markdown; every figure comes from the three measured files."""
    p, o, scores = run["params"], run["params"]["optimiser"], evaluation["scores"]
    heldout = ", ".join(wheel["name"] for wheel in corpus["wheels"] if wheel["heldout"])
    tasks = ", ".join(f"{wheel['name']} {wheel['version']}" for wheel in corpus["task_wheels"])

    def paragraph(*sentences: str) -> list[str]:
        return [*textwrap.wrap(" ".join(filter(None, sentences)), 110, break_on_hyphens=False), ""]

    def table(head: str, rule: str, rows: Iterable[Sequence[object]]) -> list[str]:
        return [head, rule, *["| " + " | ".join(map(str, row)) + " |" for row in rows], ""]

    def figures(score: dict[str, float]) -> tuple[str, str]:
        return f"{score['loss']:.3f}", f"{score['accuracy']:.1%}"

    masked = p["objective"] == "masked"
    tag, kind = ("fill-mask", "masked") if masked else ("text-generation", "causal")
    lines = ["---", "license: mit", f"tags: [code, python, {tag}]", "---", "", f"# {name}", ""]
    lines += paragraph(
        f"A small {kind} language model of Python functions, trained from scratch for NeuroSieve on source that no",
        "task of the benchmark uses. `neurosieve promote` writes this file; every figure is measured.",
    )
    lines += ["## Model", ""]
    lines += paragraph(
        f"ModernBERT architecture (`{ARCHITECTURES[p['objective']][1].__name__}`): {p['layers']} layers of width",
        f"{p['width']},",
        f"{p['heads']} heads, gated feed-forward of {p['intermediate']}, {run['parameters']:,} parameters.",
        f"Every {p['global_every']} layers, from the first, one looks everywhere; the others look at a window of",
        f"{p['local_attention']} tokens.",
        "" if masked else "A token sees those before it only, in a window its half of them.",
        f"Byte-level BPE tokenizer with {run['vocabulary']:,} entries.",
        "The weights are stored as float16 and are meant to be loaded as float32.",
    )
    lines += ["## Training", ""]
    lines += paragraph(
        f"{run['steps']:,} steps of {p['batch']} blocks of {p['block']} tokens: {run['tokens']:,} tokens,",
        f"{run['epochs']} epochs.",
        f"{p['mask_share']:.0%} of the tokens are predicted ({AS_MASK:.0%} of them masked, {AS_RANDOM:.0%} random,"
        " the rest as they are)."
        if masked
        else "Each next token of a block is predicted.",
        f"Muon for hidden matrices (rate {o['muon_lr']}), AdamW for the",
        f"rest (rate {o['adam_lr']}), {o['warmup_steps']} steps of warm-up, linear decay over the last",
        f"{o['decay_share']:.0%}, weight decay {o['weight_decay']}, seed {run['seed']}, matrix products in",
        f"{p['precision']}, on a CPU.",
    )
    lines += ["To train it again:", "", "    snakemake -s workflow/train.smk --cores 2"]
    lines += [f"    neurosieve promote {name}", "", "## Held-out loss", ""]
    lines += paragraph(
        f"On {evaluation['heldout_tokens']:,} tokens of wheels that were held out whole ({heldout});",
        f"{p['mask_share']:.0%} of them are to be predicted, and the model sees [MASK] in their place. The bigram"
        " always sees the token before, the model only where that is not masked."
        if masked
        else "each but the first of a block is to be predicted from those before it in the block of"
        f" {p['block']} tokens; no special token is.",
    )
    lines += table(
        "| predictor | loss (nats per token) | accuracy |",
        "| --- | ---: | ---: |",
        [
            ("this model", *figures(scores["model"])),
            ("bigram counts with back-off", *figures(scores["bigram"])),
            ("unigram counts", *figures(scores["unigram"])),
        ],
    )
    if evaluation["checkpoints"]:
        lines += ["Checkpoints in `checkpoints/`:", ""]
        lines += table(
            "| step | loss | accuracy |",
            "| ---: | ---: | ---: |",
            [(int(step[5:]), *figures(score)) for step, score in sorted(evaluation["checkpoints"].items())],
        )
    lines += ["## Data", ""]
    lines += paragraph(
        f"{corpus['train']['functions']:,} functions ({corpus['train']['chars']:,} characters) to train on and",
        f"{corpus['heldout']['functions']:,} held out, from pure-Python wheels pinned by sha256 in",
        "`workflow/train.yaml`. Files that say they are generated are left out",
        f"({sum(wheel['generated'] for wheel in corpus['wheels']):,}), and these functions:",
    )
    lines += table(
        "| functions left out | count |",
        "| --- | ---: |",
        [(_REASONS[reason], f"{count:,}") for reason, count in corpus["left_out"].items()],
    )
    lines += paragraph(f"Task wheels, no function of which is trained on: {tasks}.")
    lines += table(
        "| wheel | version | licence | functions kept | left out | use |",
        "| --- | --- | --- | ---: | ---: | --- |",
        [
            (
                wheel["name"],
                wheel["version"],
                wheel["licence"],
                f"{wheel['kept']:,}",
                f"{sum(wheel['left_out'].values()):,}",
                "held out" if wheel["heldout"] else "training",
            )
            for wheel in corpus["wheels"]
        ],
    )
    lines += ["## Limits", ""]
    lines += paragraph(
        "Python only, trained on single functions of public packages, with little data and for little time:",
        "it serves to try a benchmark on, not to write or to judge code.",
    )
    return "\n".join(lines[:-1]) + "\n"


def _finished(path: Path, what: str, mend: str) -> Any:
    if not path.is_file():
        raise TrainError(f"{path} does not exist: {what}. {mend}")
    return read_json(path)


def promote(name: str, params_path: Path = PARAMS, build: Path = BUILD, models: Path = MODELS) -> list[str]:
    """Copy model `name` from `build` to `models/<name>`; return lines to show: the folder and its files' sizes.

    Raises `TrainError` if the training or its evaluation is not finished, or if params file, weights, tokens and
    figures do not belong together.
    """
    params = load_params(params_path).model(name)
    run_folder, tokenizer = build / name, build / "tokenizer"
    again = "Run `snakemake -s workflow/train.smk --cores 2` to its end first"
    run = _finished(run_folder / "run.json", f"the training of {name} is not finished", again)
    evaluation = _finished(run_folder / "evaluation.json", f"{name} has not been evaluated", again)
    corpus = _finished(build / "corpus" / "corpus.json", "the corpus has not been prepared", again)
    weights = run_folder / "model" / "model.safetensors"
    if run["params"] != params.model_dump(mode="json"):
        raise TrainError(f"{run_folder / 'run.json'} was made with other params than {params_path} has. {again}")
    if sha256_file(weights) != evaluation["weights_sha256"]:
        raise TrainError(f"{run_folder / 'evaluation.json'} was measured on other weights than {weights}. {again}")
    if len({run["tokens_sha256"], evaluation["tokens_sha256"], sha256_file(tokenizer / TOKENS_FILE)}) != 1:
        raise TrainError(f"{run_folder} was made with other tokens than those in {tokenizer}. {again}")

    models.mkdir(parents=True, exist_ok=True)
    target = models / name
    new = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=models))
    try:
        new.chmod(0o755)
        for source in (run_folder / "model" / "config.json", weights):
            shutil.copy(source, new)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / file, new)
        for step in run["params"]["checkpoints"]:
            folder = Path("checkpoints") / f"step-{step:06d}"
            (new / folder).mkdir(parents=True)
            for file in ("config.json", "model.safetensors"):
                shutil.copy(run_folder / folder / file, new / folder)
        (new / "README.md").write_text(card(name, run, evaluation, corpus), encoding="utf-8")
        old = new.with_name(new.name + ".old")
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return [
        f"{target}: {run['steps']} steps, {run['tokens']} tokens",
        *[f"{path} {path.stat().st_size} bytes" for path in sorted(target.rglob("*")) if path.is_file()],
    ]

"""Language neurons: LAPE and PLS by hand, planted units found, what is read, a model whose units are set by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import yaml
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from neurosieve.activations.models import load_language_model
from neurosieve.artifacts import ArtifactError, Paths, Writer, dump_json
from neurosieve.concepts import languages
from neurosieve.concepts.languages import (
    CHECK,
    CHOOSE,
    Function,
    Tally,
    above_bar,
    describe,
    draw_alike,
    entropy,
    lape,
    matrix_row,
    overlap,
    pls,
    read_functions,
    take_turns,
    tidy,
    watch,
)
from neurosieve.config import Params
from neurosieve.config.concepts import Languages

SYMBOLS = {"plus": "+-", "less": "<>", "and": "&|"}


def settings(**changes: Any) -> Languages:
    sources = {name: {"corpus": name} for name in SYMBOLS}
    return Languages.model_validate({"sources": sources, "random_draws": 5, "permutations": 39} | changes)


def make_params(model: Path | str = "models/x", **changes: Any) -> Params:
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    raw["models"] = {"m": {"path": str(model)}, "twin": {"untrained": "m", "seed": 3}}
    raw["run"] |= {"models": ["m", "twin"], "tasks": ["token-roles"]}
    for name in SYMBOLS:
        raw["prepare"]["corpora"][name] = {"folder": name, "language": "c", "sha256": "0" * 64}
    raw["concepts"]["languages"] = settings(**changes).model_dump()
    return Params.model_validate(raw)


# --- the methods


def test_entropies_by_hand() -> None:
    p = np.array([[0.5, 0.4, 0.3, 0.0], [0.0, 0.4, 0.1, 0.0], [0.0, 0.4, 0.0, 0.0]])
    found = entropy(p)
    by_hand = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    np.testing.assert_allclose(found[:3], [0, math.log(3), by_hand], atol=1e-12)
    assert found[3] == math.inf
    np.testing.assert_allclose(entropy(p[:, :3]), stats.entropy(p[:, :3], axis=0), atol=1e-12)
    np.testing.assert_allclose(entropy(p[None, :, :3])[0], found[:3])


def test_lape_takes_the_lowest_entropies_among_neurons_that_are_often_active() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.3, 0.5, (3, 200))
    p[:, 7], p[:, 8], p[:, 9] = (0.9, 0.1, 0.1), (0.9, 0.9, 0.1), (0.01, 0.9, 0.01)
    p[:, 10] = 0.001, 0, 0  # entropy 0, but hardly ever active
    high = above_bar(p)
    assert high.sum() == 600 - round(0.95 * 600) and high[0, 7] and not high[:, 10].any()
    found = lape(p, 0.01)
    assert found.neurons.tolist() == [9, 7]
    assert found.member.tolist() == [[False, True], [True, False], [False, False]]
    assert lape(p, 0.015).neurons.tolist() == [9, 7, 8]
    assert lape(p, 0.015).of(0).tolist() == [7, 8] and lape(p, 0.015).member.sum(axis=0).tolist() == [1, 1, 2]
    np.testing.assert_allclose(found.value, stats.entropy(p[:, [9, 7]], axis=0))
    alike = np.full((2, 100), 0.5)  # nothing is above the percentile
    assert not len(lape(alike, 0.05).neurons)


def test_pls_takes_the_highest_scores_among_those_of_one_language() -> None:
    score = np.full((3, 100), 1.0)
    score[:, 3] = 9.0, 8.0, 1.0  # high in two languages
    score[:, 4] = 1.0, 6.0, 4.0  # 1.5 times the second
    score[:, 5] = 1.0, 1.0, 5.0
    score[:, 6] = 0.1, 0.0, 0.0  # of one language alone, but below the median
    found = pls(score, 0.05)
    assert found.neurons.tolist() == [4, 5] and found.value.tolist() == [6.0, 5.0]
    assert found.of(0).tolist() == [] and found.of(1).tolist() == [4] and found.of(2).tolist() == [5]
    assert pls(score, 0.01).neurons.tolist() == [4]


def planted(seed: int = 0, neurons: int = 400, effect: float = 0.9) -> tuple[Tally, list[Function]]:
    """60 functions of 20 files a language; neurons 5 i to 5 i + 4 are active in language i with share ``effect``."""
    rng = np.random.default_rng(seed)
    functions = [Function(i, 20 * i + j % 20, j % 2, f"{i} {j}") for i in range(3) for j in range(60)]
    rate = np.tile(rng.uniform(0.2, 0.5, neurons), (3, 1))
    score = np.tile(rng.uniform(0.5, 1.0, neurons), (3, 1))
    for i in range(3):
        rate[:, 5 * i : 5 * i + 5], score[:, 5 * i : 5 * i + 5] = 0.4, 1.0
        rate[i, 5 * i : 5 * i + 5], score[i, 5 * i : 5 * i + 5] = effect, 1.0 + 4 * (effect - 0.4)
    language = [f.language for f in functions]
    active = rng.binomial(50, rate[language])
    scores = score[language] * rng.uniform(0.9, 1.1, active.shape)
    return Tally(np.full(180, 50), active, scores, np.zeros(neurons), np.zeros(neurons, bool)), functions


@pytest.mark.parametrize("method", ["lape", "pls"])
def test_planted_units_are_found_stable_and_tell_languages_apart(method: str) -> None:
    tally, functions = planted()
    params = make_params()
    chosen, report = describe(method, tally, functions, 4, settings(share=15 / 400), params)
    assert sorted(chosen.neurons.tolist()) == list(range(15))
    for i, name in enumerate(SYMBOLS):
        assert report["sets"][name]["neurons"] == list(range(5 * i, 5 * i + 5))
        assert report["sets"][name]["stability"]["shared"] == 5
    assert report["per_layer"] == [15, 0, 0, 0] and report["of_several"] == 0
    assert report["stability"] == {
        "sizes": [15, 15],
        "shared": 15,
        "expected": 15 * 15 / 400,
        "p": pytest.approx(1 / math.comb(400, 15)),
    }
    found = report["separation"]
    assert found["chosen"] > 0.95 and found["random"]["high"] < 0.7 and 0 < found["low"] <= found["difference"]
    null = report["null"]
    assert null["permutations"] == 39
    if method == "pls":  # hardly any is 1.5 times as high in one of the permuted languages as in the others
        assert null["chosen"]["mean"] < 3 and null["chosen"]["high"] < 15
        assert null["shared"]["mean"] < 3 and null["shared"]["p"] == 1 / 40
    else:
        assert null["below"] == 15 and null["entropy"] < null["level"] < null["expected"]


def test_what_is_not_there_is_not_significant() -> None:
    tally, functions = planted(1, effect=0.4)
    _, report = describe("lape", tally, functions, 4, settings(share=15 / 400), make_params())
    assert report["chosen"] == 15  # a top share is never empty
    assert report["null"]["below"] <= 1
    assert report["null"]["entropy"] == pytest.approx(report["null"]["expected"], abs=0.005)
    assert report["separation"]["low"] < 0
    # both halves dismiss the same neurons: the hypergeometric expectation is no null, the permutations are
    assert report["stability"]["p"] < 0.001 and report["null"]["shared"]["p"] > 0.05
    none, report = describe("pls", tally, functions, 4, settings(share=15 / 400), make_params())
    assert len(none.neurons) == 0 and report["null"]["chosen"]["high"] == 0
    assert report["separation"] is None and report["value"] == {"first": None, "last": None}


def test_overlap_by_hand() -> None:
    found = overlap(np.array([1, 2, 3]), np.array([2, 3, 9, 7]), 10)
    by_hand = sum(math.comb(4, k) * math.comb(6, 3 - k) for k in (2, 3)) / math.comb(10, 3)
    assert found == {"sizes": [3, 4], "shared": 2, "expected": 1.2, "p": pytest.approx(by_hand)}


def test_random_neurons_are_of_the_same_layers_and_none_that_is_constant() -> None:
    constant = np.zeros(30, bool)
    constant[[3, 11, 12]] = True
    neurons = np.array([0, 1, 15])
    drawn = draw_alike(neurons, neurons, constant, 10, 200, [1])
    assert drawn is not None and drawn.shape == (200, 3)
    assert (drawn // 10 == [0, 0, 1]).all() and not np.isin(drawn, [0, 1, 15, 3, 11, 12]).any()
    assert set(drawn[:, 0]) | set(drawn[:, 1]) == {2, 4, 5, 6, 7, 8, 9}
    assert draw_alike(np.arange(6), np.arange(6), constant, 10, 3, [1]) is None
    assert draw_alike(np.arange(0), np.arange(0), constant, 10, 3, [1]) is None


def test_a_row_of_the_matrix_by_hand() -> None:
    files = {name: np.array([0, 1, 2, 3]) for name in ("a", "b", "c")}
    zero = {name: np.zeros(4) for name in files}
    chosen = {"a": np.array([-2.0, -3.0, -2.0, -3.0]), "b": np.full(4, -0.5), "c": np.full(4, 0.5)}
    drawn = [zero | {"a": np.full(4, -0.1)}, zero]
    found = matrix_row("a", chosen, drawn, files, make_params())
    assert found["by_language"]["a"]["difference"] == pytest.approx(-2.45)
    assert found["by_language"]["b"]["chosen"] == -0.5 and found["by_language"]["c"]["difference"] == 0.5
    got = found["specificity"]
    assert got["chosen"] == -2.5 and got["random"] == {"mean": pytest.approx(-0.05), "low": -0.1, "high": 0.0}
    assert got["difference"] == pytest.approx(-2.45) and got["low"] < -2.45 < got["high"] < -1.9 and got["specific"]
    turned = matrix_row("b", chosen, drawn, files, make_params())["specificity"]
    assert turned["chosen"] == pytest.approx(-0.5 - (-2.5 + 0.5) / 2) and not turned["specific"]
    few = matrix_row("a", chosen, drawn, {name: np.array([0, 0, 1, 1]) for name in files}, make_params())
    assert few["specificity"]["high"] is None and not few["specificity"]["specific"]


# --- what is read


def write_corpora(paths: Paths, functions: dict[str, list[tuple[str, str, str]]]) -> None:
    """name -> (package, file, text)."""
    for name, rows in functions.items():
        with Writer(paths.corpus(name), "prepare", {}) as out:
            out.jsonl(
                "functions.jsonl",
                [
                    {"package": package, "file": file, "qualname": "f", "source": text, "key": text}
                    | {"docstring": None, "docstring_span": None}
                    for package, file, text in rows
                ],
            )


def symbols(files: int = 16, each: int = 2) -> dict[str, list[tuple[str, str, str]]]:
    return {
        name: [
            ("p", f"f{i}", pair * (6 + i) + "x" * j)  # differs, so that no copies are dropped
            for i in range(files)
            for j in range(each)
        ]
        for name, pair in SYMBOLS.items()
    }


def test_texts_are_tidied() -> None:
    assert tidy("    int f() {\n\n      return 1;  \n \n    }\n") == "int f() {\n  return 1;\n}"
    assert tidy("def f():\n    pass") == "def f():\n    pass"


def test_functions_come_in_turn_from_files_that_are_cut_in_halves(tmp_path: Path) -> None:
    params, paths = make_params(), Paths("tiny", tmp_path)
    written = symbols()
    written["plus"] += [("p", "f0", written["plus"][0][2]), ("q", "g", "+" * 40)]  # a copy; another package
    write_corpora(paths, written)
    block = params.concepts.languages
    assert block is not None
    found = read_functions(params, paths, block)
    assert len(found) == 3 * 32 + 1 and len({f.file for f in found}) == 49
    halves = [{f.file for f in found if f.half == half} for half in (CHOOSE, CHECK)]
    assert not halves[0] & halves[1] and abs(len(halves[0]) - len(halves[1])) <= 3
    taken = [found[i] for i in take_turns(found, 60, lambda f: len(f.text))]
    for language in range(3):
        for half in (CHOOSE, CHECK):
            here = [f for f in taken if (f.language, f.half) == (language, half)]
            assert 60 <= sum(len(f.text) for f in here) < 60 + max(len(f.text) for f in here)
            assert len({f.file for f in here}) == len(here)  # a second one of a file only when all had their turn
    only = settings(sources={"plus": {"corpus": "plus", "packages": ["p"]}, "less": {"corpus": "less"}})
    assert len(read_functions(params, paths, only)) == 64

    unknown = settings(sources={"plus": {"corpus": "plus", "packages": ["z"]}, "less": {"corpus": "less"}})
    with pytest.raises(ArtifactError, match=r"sources.plus.packages: found 'z'; the packages of 'plus' are p, q"):
        read_functions(params, paths, unknown)
    task = params.prepare.tasks["token-roles"]
    assert task.packages is not None
    tested = task.packages.model_copy(update={"test": ["q"]})
    tasks = {"token-roles": task.model_copy(update={"corpus": "plus", "packages": tested})}
    guarded = params.model_copy(update={"prepare": params.prepare.model_copy(update={"tasks": tasks})})
    assert len(read_functions(guarded, paths, block)) == 96
    with pytest.raises(ArtifactError, match="found 'q', a test package"):
        named = settings(sources={"plus": {"corpus": "plus", "packages": ["q"]}, "less": {"corpus": "less"}})
        read_functions(guarded, paths, named)
    # a manifest tells whose test packages were left out
    elsewhere = {"token-roles": tasks["token-roles"].model_copy(update={"corpus": "less"})}
    moved = params.model_copy(update={"prepare": params.prepare.model_copy(update={"tasks": elsewhere})})
    told = [p.settings("find_language_neurons", model="m")["test"] for p in (params, guarded, moved)]
    nothing: dict[str, list[str]] = {"and": [], "less": [], "plus": []}
    assert told == [nothing, nothing | {"plus": ["q"]}, nothing | {"less": ["q"]}]
    write_corpora(paths, {"less": written["less"][:8]})
    with pytest.raises(ArtifactError, match=r"sources.less: 4 files with functions; give 6"):
        read_functions(params, paths, block)


# --- the model


@pytest.mark.parametrize(("name", "gated"), [("modernbert", True), ("llama", True), ("gpt2", False), ("bert", False)])
def test_the_non_linearity_of_gated_blocks_is_counted(tmp_path: Path, name: str, gated: bool) -> None:
    loaded, _ = load_language_model(tiny_models.save(tmp_path, name, head=True), name, "plain")
    watched = watch(loaded)
    assert len(watched.sites.products) == 2
    assert watched.counted == ("non-linearity" if gated else "product")
    kinds = {type(module).__name__ for module in watched.nonlinear or ()}
    assert kinds == ({"GELUActivation"} if name == "modernbert" else {"SiLUActivation"} if gated else set())


def test_dropout_is_no_gate_where_both_layers_are_equally_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiny_models.SIZES, "intermediate_size", tiny_models.SIZES["hidden_size"])
    loaded, _ = load_language_model(tiny_models.save(tmp_path, "bert", head=True), "bert", "plain")
    assert loaded.model.config.intermediate_size == loaded.model.config.hidden_size
    assert watch(loaded).counted == "product"


def test_scores_are_those_of_finite_differences(tmp_path: Path) -> None:
    loaded, _ = load_language_model(tiny_models.save(tmp_path, "gpt2", head=True), "m", "plain")
    watched = watch(loaded)
    ids = torch.tensor([7, 8, 9, 30, 31, 8])
    block = loaded.model.transformer.h[1].mlp
    seen: list[torch.Tensor] = []
    hook = block.c_proj.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        loaded.model(input_ids=ids[None])
    hook.remove()
    score = languages._gradient_score(loaded, watched, ids, None, slice(0, None), np.random.default_rng(0))
    loaded.model.double()

    def loss(unit: int, place: int, step: float) -> float:
        def shift(module: Any, args: Any) -> Any:
            out = args[0].clone()
            out[0, place, unit] += step
            return (out,)

        moved = block.c_proj.register_forward_pre_hook(shift)
        with torch.no_grad():
            logits = loaded.model(input_ids=ids[None]).logits[0]
        moved.remove()
        return float(torch.nn.functional.cross_entropy(logits[:-1], ids[1:]))

    for unit in (0, 9):
        total = 0.0
        for place in range(len(ids)):
            slope = (loss(unit, place, 1e-4) - loss(unit, place, -1e-4)) / 2e-4
            total += abs(float(seen[0][0, place, unit]) * slope)
        assert score[24 + unit] == pytest.approx(total, rel=1e-3, abs=1e-7)


def plant(folder: Path) -> Path:
    """A GPT-2 that knows `+-+-`, `<><>` and `&|&|`: unit 2 i + j of block 1 is on for sign j of language i and alone
    writes the sign that follows."""
    tiny_models.save(folder, "gpt2", head=True)
    model = AutoModelForCausalLM.from_pretrained(folder)
    fast = AutoTokenizer.from_pretrained(folder)
    ids = [fast(sign)["input_ids"][0] for pair in SYMBOLS.values() for sign in pair]
    follows = [ids[i ^ 1] for i in range(6)]
    head = torch.zeros(model.lm_head.weight.shape)
    with torch.no_grad():
        model.transformer.wpe.weight.mul_(0.01)
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.ln_f.bias.zero_()
        for block in model.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_()
                part.bias.zero_()
            block.ln_2.weight.fill_(1.0)
            block.ln_2.bias.zero_()
            block.mlp.c_fc.weight.mul_(0.05)  # all other units are never on, but not constant
            block.mlp.c_fc.bias.fill_(-1.0)
        mlp = model.transformer.h[0].mlp
        for i in range(6):
            model.transformer.wte.weight[ids[i]] = 5.0 * torch.eye(16)[i]
            mlp.c_fc.weight[:, i] = torch.eye(16)[i]
            mlp.c_proj.weight[i] = 5.0 * torch.eye(16)[6 + i]
            head[follows[i], 6 + i] = 4.0
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(head)
    model.save_pretrained(folder)
    return folder


def measure(params: Params, paths: Paths) -> dict[str, Any]:
    block = params.concepts.languages
    assert block is not None
    return languages._measure(params, paths, "m", block, None)[0]


def test_units_set_by_hand_are_found_and_used_by_their_language_alone(tmp_path: Path) -> None:
    params = make_params(
        plant(tmp_path / "model"), share=6 / 48, subwords=200, window=40, tokens=24, per_window=2, ablation_draws=3
    )
    paths = Paths("tiny", tmp_path / "build")
    write_corpora(paths, {name: [row for row in rows if "x" not in row[2]] for name, rows in symbols(each=1).items()})
    report = measure(params, paths)
    assert report["kind"] == "causal" and (report["layers"], report["width"]) == (2, 24)
    assert report["activation"] == "product" and report["untrained_seed"] == 3
    for method in ("lape", "pls"):
        found = report["trained"][method]
        for i, name in enumerate(SYMBOLS):
            assert set(found["sets"][name]["neurons"]) >= {2 * i, 2 * i + 1}, (method, name)
            for value in ("zero", "mean"):
                row = found["ablation"][value][name]
                assert row["specificity"]["specific"], (method, name, value)
                assert row["by_language"][name]["difference"] < -1
                for other in SYMBOLS:
                    if other != name:
                        assert abs(row["by_language"][other]["difference"]) < 0.2
        assert found["separation"]["chosen"] == 1.0
        assert "ablation" not in report["untrained"][method]
    assert report["trained"]["lape"]["null"]["below"] == 6
    assert dump_json(measure(params, paths)) == dump_json(report)  # nothing of it is left to chance


def test_a_model_without_a_head_and_a_masked_one(tmp_path: Path) -> None:
    paths = Paths("tiny", tmp_path / "build")
    write_corpora(paths, symbols(8, 1))
    small = {"share": 0.1, "subwords": 60, "window": 40, "tokens": 10, "per_window": 2, "ablation_draws": 2}
    report = measure(make_params(tiny_models.save(tmp_path / "a", "modernbert"), **small), paths)
    assert report["kind"] is None and report["no_head"].startswith("config.json names ModernBertModel")
    assert report["trained"]["lape"]["ablation"] is None and report["trained"]["lape"]["chosen"] <= 5
    assert report["trained"]["pls"]["reason"].startswith("no gradient of its loss: config.json")
    masked = measure(make_params(tiny_models.save(tmp_path / "b", "modernbert", head=True), **small), paths)
    assert masked["kind"] == "masked" and "reason" not in masked["trained"]["pls"]
    assert masked["trained"]["lape"]["ablation"]["tokens"] == dict.fromkeys(SYMBOLS, 8)  # two of each of the four files
    assert masked["trained"]["pls"]["value"] != masked["untrained"]["pls"]["value"]


def test_a_model_of_which_nothing_can_be_said_says_why(tmp_path: Path) -> None:
    paths = Paths("tiny", tmp_path / "build")
    write_corpora(paths, symbols(8, 1))
    with pytest.raises(languages.Unfit, match="an encoder-decoder"):
        measure(make_params(tiny_models.save(tmp_path / "a", "t5", head=True)), paths)

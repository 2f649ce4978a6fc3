"""Properties of functions counted by hand, partial correlations against scipy, and neurons that carry length alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from neurosieve.artifacts import Paths, Writer
from neurosieve.concepts import properties
from neurosieve.concepts.null import family_wise
from neurosieve.config import Concepts, Params, Probes
from neurosieve.probes.features import layout

PYTHON = '''def f(a, b=1, *c):
    # no
    """Doc."""
    for i in range(3):
        if a and b:
            x = a[i] + 2.5
        elif b:
            raise ValueError("no")
        else:
            return None
    try:
        y = -a
    except OSError:
        pass
    return [j for j in c if j]
'''
JAVA = """public int f(int a, String... b) {
    // no
    for (int i = 0; i < 3; i++) {
        if (a > 1 && b != null) { g(a); }
        else if (a == 2) { throw new Error("x"); }
    }
    switch (a) { case 1: return 1; default: return (int) 2.5; }
}"""
C = """static int f(char *p, void *q) {
    /* no */
    if (!p) goto out;
    while (*p++ && q->n) { av_log_error("x", &p[1]); }
    int k = 3;
    switch (k) { case 1: return 1; default: break; }
out:
    return (int) -1;
}"""
#: In the order of properties.PROPERTIES.
BY_HAND = {
    ("python", PYTHON): (15, 2, 8, 2, 2, 2, 2, 3, 11, 2, 3, 3, 2, 1, 1, 0, 0, 3, 1),
    ("java", JAVA): (8, 2, 6, 1, 3, 2, 2, 2, 7, 2, 5, 7, 1, 1, 0, 0, 1, 1, 1),
    ("c", C): (9, 1, 5, 1, 2, 1, 2, 2, 6, 2, 2, 5, 1, 0, 1, 5, 1, 2, 1),
}


@pytest.mark.parametrize(("language", "text"), BY_HAND)
def test_properties_by_hand(language: str, text: str) -> None:
    found = properties.count(text, language)
    assert found is not None
    assert {name: found[name] for name in properties.PROPERTIES} == dict(
        zip(properties.PROPERTIES, BY_HAND[language, text], strict=True)
    )


@pytest.mark.parametrize("language", ["c", "java"])
def test_an_else_if_is_no_block_in_the_if_but_an_if_in_it_is(language: str) -> None:
    for body, nesting in (
        ("if (a) { f(); } else if (b) f();", 1),
        ("if (a) f(); else if (b) f(); else if (c) f();", 1),
        ("if (a) { if (b) f(); }", 2),
        ("if (a) if (b) f();", 2),
        ("if (a) if (b) f(); else f();", 2),
        ("if (a) f(); else /* no */ if (b) f();", 1),
        ("if (a) f(); else { if (b) f(); }", 2),
    ):
        found = properties.count(f"int g(int a, int b, int c) {{ {body} }}", language)
        assert found is not None and (body, found["nesting"]) == (body, nesting)


def test_tokens_by_hand() -> None:
    for language, text, tokens in (
        ("python", "def f(a):\n    return a + 1  # no\n", 10),  # def f ( a ) : return a + 1
        ("java", "int f() { return 1; } // no", 9),  # int f ( ) { return 1 ; }
        ("c", "int f(void) { return 'c'; }", 10),  # int f ( void ) { return 'c' ; }
    ):
        found = properties.count(text, language)
        assert found is not None and found["tokens"] == tokens and found["complexity"] == 1
    assert found["parameters"] == 0  # of (void)


def test_what_is_no_function_is_left_out() -> None:
    assert properties.count("how to sort", "python") is None
    assert properties.count("x = 1", "python") is None
    assert properties.count("def f(:\n", "python") is None
    assert properties.count("int x = 1;", "c") is None
    assert properties.count("int x = 1;", "java") is None


def test_partial_correlation_equals_the_formula_on_scipys() -> None:
    rng = np.random.default_rng(0)
    length = rng.integers(5, 60, 200)
    P = np.stack([length // 4 + rng.integers(0, 5, 200), rng.integers(0, 3, 200), np.full(200, 2)])
    X = (rng.normal(size=(200, 3)) + 0.1 * length[:, None] + [0, 1, 0] * P[:1].T).astype(np.float32)
    found = properties.partial_spearman(X, P, length)
    for i in range(2):
        for j in range(3):
            xp, xl, pl = (spearmanr(a, b)[0] for a, b in ((X[:, j], P[i]), (X[:, j], length), (P[i], length)))
            assert found[i, j] == pytest.approx((xp - xl * pl) / np.sqrt((1 - xl**2) * (1 - pl**2)), abs=1e-10)
    assert np.isnan(found[2]).all()
    assert np.isnan(properties.partial_spearman(X, length[None] * 2, length)).all()  # nothing but length


def test_strata_are_equal_and_keep_equal_lengths_together() -> None:
    length = np.repeat([10, 20, 30, 40], [50, 30, 10, 10])
    strata = properties.strata_of(length, 4)
    for value in (10, 20, 30, 40):
        assert len(set(strata[length == value])) == 1
    assert strata[length == 10].max() < strata[length == 20].min()
    assert np.bincount(properties.strata_of(np.arange(100), 10)).tolist() == [10] * 10


def functions(n: int, rng: np.random.Generator) -> list[str]:
    """Python functions of different lengths, whose numbers of calls follow from length only in part."""
    texts = []
    for _ in range(n):
        lines = ["    x = f(1)" if rng.random() < 0.5 else "    x = y + 1" for _ in range(int(rng.integers(3, 30)))]
        texts.append("\n".join(["def g(y):", *lines]))
    return texts


def test_length_alone_is_no_property() -> None:
    rng = np.random.default_rng(1)
    read = [of for text in functions(300, rng) if (of := properties.count(text, "python"))]
    length = np.array([of["tokens"] for of in read])
    P = np.array([[of[name] for of in read] for name in ("lines", "calls", "operators")], float)
    X = np.stack([np.log(length), np.log(length) + 0.1 * rng.normal(size=len(length)), P[1] - 0.1 * length], axis=1)
    assert spearmanr(X[:, 0], P[1])[0] > 0.5  # without length held fixed it carries calls
    null = properties.permute_within(X, P, length, 99, rng)
    p = family_wise(null.z[0].max(axis=(1, 2)), null.z)
    assert p[2] == 0.01 and p[1] > 0.05
    assert abs(null.scores[0, 0]).max() < 1e-6 or p[0] > 0.05


def params(**entry: Any) -> Params:
    from neurosieve.config.prepare import Task

    task = Task.model_construct(**{"kind": "codexglue-defect", "corpus": None} | entry)
    return Params.model_construct(
        seed=7,
        numerics="fast",
        prepare=type("Prepare", (), {"tasks": {"defects": task}, "corpora": {}})(),
        probes=Probes.model_construct(pair_features=["absdiff"]),
        concepts=Concepts.model_validate({"neurons": 3, "top_types": 1, "min_count": 1, "context": 0}),
    )


def make_task(paths: Paths, texts: list[str], layer: np.ndarray) -> None:
    labels = (layer[:, 1] > np.median(layer[:, 1])).astype(int)
    with Writer(paths.task("defects") / "judge", "prepare", {}) as out:
        out.jsonl("rows.jsonl", [{"input": i, "label": int(label)} for i, label in enumerate(labels)])
        out.jsonl("inputs.jsonl", [{"id": i, "text": t, "file": f"f{i}.c"} for i, t in enumerate(texts)])
    with Writer(paths.task("defects") / "card", "prepare", {}) as out:
        out.json("card.json", {"unit": "sequence", "classes": ["GOOD", "BAD"], "scored_classes": [0, 1]})
    for split in ("train", "judge"):
        with Writer(paths.activations("tiny", "defects", split), "activations", {}) as out:
            out.npy("layer_00.npy", layer.astype(np.float32))
            out.facts = {"layers": 1, "width": layer.shape[1], "vectors": len(layer)}


def test_a_planted_neuron_is_named_and_one_of_length_is_not(tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(2), Paths("bench", tmp_path)
    stars, lines = rng.integers(0, 6, 200), rng.integers(2, 20, 200)
    texts = [
        "int f(int *p) {\n" + "  *p = 1;\n" * s + "  int k = 1;\n" * n + "}" for s, n in zip(stars, lines, strict=True)
    ]
    texts[0] = "int f( {"
    length = np.array([(properties.count(t, "c") or {"tokens": 0})["tokens"] for t in texts])
    layer = rng.normal(size=(200, 12))
    layer[:, 0] = length + rng.normal(size=200)
    layer[:, 1] = -rankdata(stars) + 10 * rng.normal(size=200)
    make_task(paths, texts, layer)
    found = properties.describe(params(), layout(paths, params(), "tiny", "defects"), np.array([1, 0]))
    assert (found["reason"], found["language"], found["functions"], found["left_out"]) == (None, "c", 199, 1)
    planted, long = found["neurons"]
    assert (planted["neuron"], planted["named"], planted["property"]) == (1, "pointers", "pointers")
    assert planted["r"] < -0.8 and planted["p_max"] == pytest.approx(1 / 201)
    assert long["named"] is None and long["with_length"] > 0.9
    assert found["significant"] == 1 and found["random"] < 0.5
    pointers = found["names"]["pointers"]
    assert pointers["neurons"] == 1 and pointers["strongest"] == {"neuron": 1, "r": planted["r"]}
    assert pointers["with_label"] < -0.5  # the label was made from the neuron
    assert found["names"]["casts"]["constant"] and found["names"]["casts"]["with_length"] is None
    again = properties.describe(params(), layout(paths, params(), "tiny", "defects"), np.array([1, 0]))
    assert again == found
    # of a subset whose first neurons are described the others are no random ones
    alone, beside = (
        properties.describe(params(), layout(paths, params(), "tiny", "defects"), np.array([0]), subset)["names"]
        for subset in (None, np.array([0, 1]))
    )
    assert alone["pointers"]["random"] > 0 == beside["pointers"]["random"]


def test_why_nothing_is_said(tmp_path: Path) -> None:
    paths = Paths("bench", tmp_path)
    layer = np.random.default_rng(0).normal(size=(60, 6))
    make_task(paths, ["int f( {"] * 60, layer)
    features = layout(paths, params(), "tiny", "defects")
    assert "fewer than a tenth" in properties.describe(params(), features, np.array([0]))["reason"]
    make_task(paths, ["int f() {}"] * 39 + ["int f( {"] * 21, layer)
    assert "fewer than 40" in properties.describe(params(), features, np.array([0]))["reason"]
    unknown = params(kind="table")
    assert properties.describe(unknown, features, np.array([0]))["reason"] == "the language of the inputs is not known"

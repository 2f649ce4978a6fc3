"""Surface baselines against hand-worked answers, scikit-learn's vectorisers and a direct minimiser."""

import json

import numpy as np
import pytest
from scipy import optimize, sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from neurosieve.artifacts import Paths, check_files, read_json, read_manifest, read_npy
from neurosieve.config import Params, Penalty, Probes
from neurosieve.probes import baselines
from neurosieve.probes.baselines import Examples, Fitting, Ngrams, Similarity, Softmax, Tables
from neurosieve.probes.features import Rows


def settings():
    """Only the blocks that the phase reads."""
    return Params.model_construct(seed=0, numerics="fast", probes=probes())


def probes(**changes):
    values = {
        "penalties": [{"l1": 0.0, "l2": 0.1}],
        "gap": 1e-4,
        "max_iterations": 100,
        "pair_features": ["absdiff"],
        "bootstrap": 100,
        "baseline_ngrams": (1, 3),
        "baseline_penalties": [Penalty(l1=0.0, l2=0.1), Penalty(l1=0.0, l2=0.001)],
        **changes,
    }
    return Probes(**values)


def rows(labels):
    labels = np.array(labels, np.int64)
    zeros = np.zeros(len(labels), np.int64)
    return Rows(labels, zeros, None, zeros, None)


def tokens(*marked):
    """Examples from texts in which the token stands between < and >, with a label each."""
    text, spans, labels = [], [], []
    for string, label in marked:
        before, rest = string.split("<")
        token, after = rest.split(">")
        text.append(before + token + after)
        spans.append((len(before), len(before) + len(token)))
        labels.append(label)
    return Examples(text, None, spans, [t[a:b] for t, (a, b) in zip(text, spans, strict=True)], rows(labels))


def texts(left, right=None, labels=None):
    return Examples(left, right, None, None, rows(labels if labels is not None else [0] * len(left)))


def fitting(train, tune, n_classes, **changes):
    def score(predicted):
        return float(np.mean(predicted == tune.rows.labels))

    return Fitting(train, tune, probes(**changes), n_classes, score)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a.|x", "."),
        ("return  \n |x", "return"),
        ("|x", ""),
        ("   |x", ""),
        ("f(**|kw", "*"),
        ("über_9 |x", "über_9"),
        ('"|x', '"'),
    ],
)
def test_previous_token(text, want):
    before, after = text.split("|")
    assert baselines.previous_token(before + after, len(before)) == want


def test_word_pieces_split_identifiers():
    assert baselines.word_pieces("readHTTPHeader_v2(Größe, 'x.y')") == [
        "read",
        "http",
        "header",
        "v2",
        "größe",
        "x",
        "y",
    ]


def test_lookup_and_previous_by_hand():
    train = tokens(("<x> = 1", 1), ("<x> = 2", 1), ("f(<x>)", 2), ("f(<y>)", 2), ("g.<y>", 0), ("<z>", 1), ("<y>", 0))
    given = fitting(train, train, 3)
    majority = Tables.fit(given, ())
    assert majority.majority == 1  # 2, 3 and 2 rows
    assert majority.features is None
    new = tokens(("h(<x>", 0), ("h.<x>", 0), ("q <x>", 0), ("q <new>", 0), ("<y>", 0), ("<w>", 0))
    assert majority.predict(new).tolist() == [1] * 6
    # x: 1 1 2 -> 1; y: 2 0 0 -> 0; else the majority
    assert Tables.fit(given, ("type",)).predict(new).tolist() == [1, 1, 1, 1, 0, 1]
    # "(" -> 2, "." -> 0, text begins: 1 1 1 0 -> 1 (also for y); q is new -> the type, then the majority
    assert Tables.fit(given, ("previous", "type")).predict(new).tolist() == [2, 0, 1, 1, 1, 1]


def test_equal_counts_go_to_the_lower_class():
    train = tokens(("<x>", 2), ("<x>", 1), ("<y>", 0))
    assert Tables.fit(fitting(train, train, 3), ("type",)).tables == {"type": {"x": 1, "y": 0}}
    assert Tables.fit(fitting(train, train, 3), ()).majority == 0


def test_presence_equals_count_vectorizer():
    documents = [("ab ab",), ("bca",), ("",), ("ab ab",), ("xyz",)]
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False, binary=True)
    want = vectorizer.fit_transform([d[0] for d in documents])
    vocabulary = [f"0{gram}" for gram in vectorizer.get_feature_names_out()]
    got = baselines._presence(documents, vocabulary, (1, 3))
    np.testing.assert_array_equal(got.toarray(), want.toarray())


def test_views_are_marked_apart_and_reach_no_further_than_the_context():
    example = tokens(("0123456789abcdef<tok>ABCDEFGHIJKLMNOP", 0))
    documents = baselines._documents(("token", "before", "after"), example)
    assert documents == [("\x02tok\x03", "456789abcdef\x03", "\x02ABCDEFGHIJKL")]
    grams = baselines._grams(documents[0], (1, 2))
    assert {"0to", "0\x02t", "1f\x03", "2\x02A"} <= grams
    assert not {"1to", "0f\x03", "13", "2M"} & grams


def test_vocabulary_keeps_the_most_frequent_and_counts_the_rest(monkeypatch):
    train = texts(["aab", "ab", "ab", "cd", "cx"], labels=[0, 1, 0, 1, 0])  # "ab" twice: one text
    given = fitting(train, train, 2, baseline_ngrams=(1, 1))
    model = Ngrams.fit(given, ("text",))
    assert model.vocabulary == ["0\x02", "0\x03", "0a", "0b", "0c"]
    assert model.left_out == {"rare": 2, "beyond_vocabulary": 0}  # d, x
    monkeypatch.setattr(baselines, "VOCABULARY", 3)
    model = Ngrams.fit(given, ("text",))
    assert model.vocabulary == ["0\x02", "0\x03", "0a"]  # a, b and c are in two texts each: alphabetical
    assert model.left_out == {"rare": 2, "beyond_vocabulary": 2}


def objective(X, y, weights, intercept, penalty):
    Z = X @ weights + intercept
    top = Z.max(1, keepdims=True)
    loss = (top[:, 0] + np.log(np.exp(Z - top).sum(1)) - Z[np.arange(len(y)), y]).mean()
    return loss + penalty.l1 * np.abs(weights).sum() + penalty.l2 / 2 * (weights**2).sum()


@pytest.mark.parametrize(("penalty", "within"), [(Penalty(l1=0.0, l2=0.01), 1e-4), (Penalty(l1=0.003, l2=0.02), 1e-4)])
def test_solver_minimises_the_stated_objective(penalty, within):
    rng = np.random.default_rng(0)
    X = (rng.random((120, 6)) < 0.4).astype(float)
    y = (X[:, 0] + 2 * X[:, 1] * (rng.random(120) < 0.8)).astype(int).clip(0, 2)
    weights, intercept = baselines._Path(sparse.csr_array(X), y, 3).next(penalty)

    def split(v):  # W = P - N with P, N >= 0 makes the l1 term smooth
        return (v[:18] - v[18:36]).reshape(6, 3), v[36:], v[:36].sum()

    def smooth(v):
        W, b, mass = split(v)
        return objective(X, y, W, b, Penalty(l1=0.0, l2=penalty.l2)) + penalty.l1 * mass

    bounds = [(0, None)] * 36 + [(None, None)] * 3
    best = optimize.minimize(smooth, np.full(39, 0.01), bounds=bounds, options={"maxiter": 5000, "maxfun": 10**6})
    assert objective(X, y, weights.astype(float), intercept, penalty) == pytest.approx(best.fun, rel=within)


def test_classes_absent_from_train_are_never_predicted():
    X = sparse.csr_array(np.array([[0.0], [1.0], [0.0], [1.0]]))
    weights, intercept = baselines._Path(X, np.array([1, 3, 1, 3]), 5).next(Penalty(l1=0.0, l2=0.01))
    assert Softmax(weights, intercept).predict(X).tolist() == [1, 3, 1, 3]
    with pytest.raises(baselines.BaselineError, match="one class only"):
        baselines._Path(X, np.zeros(4, int), 2).next(Penalty(l1=0.0, l2=0.01))


def test_not_converged_is_an_error(monkeypatch):
    monkeypatch.setattr(baselines, "MAX_ITERATIONS", 1)
    X = sparse.csr_array(np.random.default_rng(0).random((50, 5)))
    with pytest.raises(baselines.BaselineError, match="write a larger l2"):
        baselines._Path(X, np.arange(50) % 3, 3).next(Penalty(l1=0.0, l2=1e-6))


def test_penalty_is_chosen_on_tune_and_the_strongest_of_equals_is_kept():
    train = texts(["ab", "cd", "abx", "cdx", "aby"], labels=[0, 1, 0, 1, 0])
    # so strong a penalty leaves the majority; a weak one separates
    strong, weak, weaker = Penalty(l1=0.0, l2=100.0), Penalty(l1=0.0, l2=1e-2), Penalty(l1=0.0, l2=1e-3)
    model = Ngrams.fit(fitting(train, train, 2, baseline_penalties=[weaker, strong, weak]), ("text",))
    assert model.penalty == weak
    assert model.predict(train).tolist() == [0, 1, 0, 1, 0]


PAIRS = (
    ["read the file", "sum of numbers", "", "open socketPort"],
    ["def read_file(file)", "x y z", "a", "socket port"],
)


def test_word_overlap_by_hand():
    X = baselines._likeness("overlap", texts(*PAIRS), 0, {})
    # {read the file} and {def read file}: 2 of 4, 2 of 3; nothing; an empty text; {open socket port}: 2 of 3, 2 of 2
    np.testing.assert_allclose(X, [[0.5, 2 / 3], [0, 0], [0, 0], [2 / 3, 1]])


def test_tfidf_cosine_equals_sklearn():
    train = texts(*PAIRS)
    model = Similarity.fit(fitting(texts(*PAIRS, labels=[1, 0, 0, 1]), train, 2), "tfidf")
    vectorizer = TfidfVectorizer(analyzer=baselines.word_pieces)
    vectorizer.fit(dict.fromkeys(PAIRS[0] + PAIRS[1]))
    left, right = (vectorizer.transform(side) for side in PAIRS)
    want = np.asarray(left.multiply(right).sum(1)).ravel()
    got = baselines._likeness("tfidf", train, model.texts, model.frequency)[:, 0]
    np.testing.assert_allclose(got, want, atol=1e-12)
    assert baselines._likeness("tfidf", texts(["neverseen word"], ["word"]), 5, {})[0, 0] == pytest.approx(2**-0.5)


# --- the rule, on small tasks on disk ---------------------------------------------------------------------------------


def write_task(paths, task, unit, classes, metric, splits):
    """Files of a task; splits: split -> (inputs [(text, file)], rows)."""
    for split, (inputs, lines) in splits.items():
        folder = paths.task(task) / split
        folder.mkdir(parents=True)
        full = [{"id": i, "text": t, "file": f, "package": "p", "name": "n"} for i, (t, f) in enumerate(inputs)]
        for name, values in (("inputs", full), ("rows", lines)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(v) + "\n" for v in values))
        (folder / "manifest.json").write_text("{}")
    folder = paths.task(task) / "card"
    folder.mkdir()
    card = {"unit": unit, "classes": classes, "metric": metric, "scored_classes": list(range(len(classes)))}
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "manifest.json").write_text("{}")


def token_task(paths, task="roles"):
    """A name after "." is 1, before "(" is 2, else 0; 180 rows of six files a split; half the types are new."""
    rng = np.random.default_rng(0)
    splits = {}
    for split in ("train", "tune", "judge", "test"):
        inputs, lines = [], []
        for i in range(180):
            label = int(rng.integers(3))
            name = f"n{rng.integers(10)}" if split == "train" or rng.random() < 0.5 else f"{split}{i}"
            text = ("a = {}", "a = b.{}", "{}(a)")[label].format(name)
            start = text.index(name) if label != 1 else text.index(".") + 1
            inputs.append((text, f"f{i % 6}.py"))
            lines.append({"input": i, "start": start, "end": start + len(name), "label": label, "type": name})
        types = {row["type"] for row in (lines if split == "train" else splits["train"][1])}
        splits[split] = inputs, [{**row, "seen": row["type"] in types} for row in lines]
    write_task(paths, task, "token", ["NAME", "ATTR", "CALL"], "macro_f1", splits)


def pair_task(paths, task="match"):
    """A pair matches when the right text repeats the left one's word; neither side alone says anything."""
    rng = np.random.default_rng(1)
    splits = {}
    for split in ("train", "tune", "judge", "test"):
        inputs, lines = [], []
        for i in range(60):
            word, other = rng.choice(40, 2, replace=False)
            inputs += [(f"word{word} thing", f"f{i % 6}.py"), (f"get_Word{word}", "g.py"), (f"get_Word{other}", "g.py")]
            lines += [
                {"input": 3 * i, "input2": 3 * i + 1, "label": 1},
                {"input": 3 * i, "input2": 3 * i + 2, "label": 0},
            ]
        splits[split] = inputs, lines
    write_task(paths, task, "pair", ["no", "yes"], "accuracy", splits)


def test_token_task_end_to_end(tmp_path):
    paths, params = Paths("b", tmp_path), settings()
    token_task(paths)
    baselines.fit_baselines(params, paths, task="roles")
    folder = paths.baselines("roles")
    check_files(folder)
    result = read_json(folder / "baselines.json")
    assert result["order"] == ["majority", "lookup", "previous", "char-ngrams", "context-ngrams"]
    assert result["surface"] == result["surface_unseen"] == "previous"  # the first of two perfect ones
    entries = result["baselines"]
    assert entries["context-ngrams"]["judge"]["macro_f1"] > 0.99  # what stands beside the token tells all
    assert entries["previous"]["judge"]["accuracy"] > 0.99  # ".", "=" or nothing before it
    assert entries["lookup"]["judge"]["accuracy"] < 0.6
    unseen = entries["lookup"]["judge"]["unseen"]
    assert unseen["rows"] + entries["lookup"]["judge"]["seen"]["rows"] == 180
    assert unseen["accuracy"] == pytest.approx(entries["majority"]["judge"]["unseen"]["accuracy"])
    assert unseen["matthews"] == 0

    labels = np.array([row["label"] for row in map(json.loads, (paths.task("roles") / "judge/rows.jsonl").open())])
    predicted = read_npy(folder / "predictions_judge.npy")
    assert predicted.dtype == np.int16
    for i, name in enumerate(result["order"]):
        assert entries[name]["judge"]["accuracy"] == pytest.approx(np.mean(predicted[i] == labels))
    names, again = baselines.predict_baselines(paths, "roles", "judge")
    assert names == result["order"]
    np.testing.assert_array_equal(again, predicted)
    assert baselines.predict_baselines(paths, "roles", "test")[1].shape == (5, 180)
    assert set(read_manifest(folder)["inputs"]) == {
        f"prepare/tasks/roles/{s}" for s in ("train", "tune", "judge", "card")
    }


def test_pair_task_end_to_end_and_one_sided_controls(tmp_path):
    paths, params = Paths("b", tmp_path), settings()
    pair_task(paths)
    baselines.fit_baselines(params, paths, task="match")
    result = read_json(paths.baselines("match") / "baselines.json")
    entries = result["baselines"]
    assert result["order"] == ["majority", "word-overlap", "tfidf-cosine", "left-only", "right-only"]
    assert result["surface_unseen"] is None
    assert result["surface"] == "word-overlap"  # the first of two perfect ones
    assert entries["word-overlap"]["judge"]["accuracy"] == entries["tfidf-cosine"]["judge"]["accuracy"] == 1
    for side in ("left-only", "right-only"):
        assert abs(entries[side]["judge"]["accuracy"] - 0.5) < 0.15
    predicted = read_npy(paths.baselines("match") / "predictions_judge.npy")
    np.testing.assert_array_equal(baselines.predict_baselines(paths, "match", "judge")[1], predicted)


def test_the_same_bytes_twice_and_never_test(tmp_path):
    manifests = []
    for build in ("one", "two"):
        paths = Paths("b", tmp_path / build)
        token_task(paths)
        for name in ("inputs.jsonl", "rows.jsonl"):
            (paths.task("roles") / "test" / name).unlink()
        baselines.fit_baselines(settings(), paths, task="roles")
        manifests.append(read_manifest(paths.baselines("roles"))["files"])
    assert manifests[0] == manifests[1]


def test_ngrams_of_the_ending_see_no_more_than_the_last_characters(tmp_path):
    """The class stands at the end of half of the texts, further up in the others, which all end alike."""
    paths, filler = Paths("b", tmp_path), "x" * baselines.CONTEXT
    splits = {
        s: (
            [
                (
                    f"{filler}{i * k:03}{'ab'[i % 2]}" if i % 4 < 2 else f"{i * k:03}{'ab'[i % 2]}{filler}",
                    f"f{i % 7}.py",
                )
                for i in range(96)
            ],
            [{"input": i, "label": i % 2} for i in range(96)],
        )
        for k, s in enumerate(("train", "tune", "judge"), start=1)
    }
    write_task(paths, "kind", "sequence", ["a", "b"], "accuracy", splits)
    baselines.fit_baselines(settings(), paths, task="kind")
    found = read_json(paths.baselines("kind") / "baselines.json")
    assert found["baselines"]["char-ngrams"]["judge"]["accuracy"] == 1
    assert found["baselines"]["ending-ngrams"]["judge"]["accuracy"] == 0.75
    assert found["surface"] == "char-ngrams"


def test_sequence_task_has_ngrams_of_the_text(tmp_path):
    paths = Paths("b", tmp_path)
    splits = {
        s: (
            [(f"{'abc'[i % 3]} {i * k} x", f"f{i % 6}.py") for i in range(90)],
            [{"input": i, "label": i % 3} for i in range(90)],
        )
        for k, s in enumerate(("train", "tune", "judge"), start=1)
    }
    write_task(paths, "kind", "sequence", ["a", "b", "c"], "accuracy", splits)
    baselines.fit_baselines(settings(), paths, task="kind")
    result = read_json(paths.baselines("kind") / "baselines.json")
    assert result["order"] == ["majority", "char-ngrams", "ending-ngrams"]
    assert result["baselines"]["char-ngrams"]["judge"]["accuracy"] == 1
    assert "unseen" not in result["baselines"]["char-ngrams"]["judge"]

"""Code search: hard negatives against a brute-force ranking, and what the readers of CoSQA and CodeSearchNet refuse."""

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer

from neurosieve.artifacts import Paths, iter_jsonl, read_json, sha256_file
from neurosieve.config import SPLITS, Negatives, Params, Prepare, Task
from neurosieve.prepare import prepare_task
from neurosieve.prepare.hard_negatives import draw, match_sample, nearest, pieces
from neurosieve.prepare.records import PrepareError, make_record, spaces_key
from neurosieve.prepare.sampling import Want
from neurosieve.prepare.tasks import code_search_net, cosqa
from neurosieve.probes.baselines import word_pieces

TINY = Path("tests/data/tiny_cosqa")
TINY_NET = Path("tests/data/tiny_code_search_net")
REAL = Path("../shared/data/code_search_cosqa")
HARD = Negatives(kind="hard", per_positive=1, pool=5)
SHARES = {"train": 0.5, "dev": 0.3, "test": 0.2}


def task_of(folder, kind="cosqa", **changed):
    roles = (cosqa if kind == "cosqa" else code_search_net).ROLES
    paths = {p.name.split(".")[0]: p for p in sorted(folder.iterdir()) if p.name.split(".")[0] in roles}
    entry = {
        "kind": kind, "folder": str(folder), "metric": "accuracy",
        "files": {role: {"name": p.name, "sha256": sha256_file(p)} for role, p in paths.items()},
        "rows": {"train": 60, "tune": 30, "judge": 60, "test": 60},
    }  # fmt: skip
    return Task.model_validate({**entry, **changed})


def read(folder, kind="cosqa", **changed):
    task = task_of(folder, kind, **changed)
    module = cosqa if kind == "cosqa" else code_search_net
    return module.read({role: folder / file.name for role, file in (task.files or {}).items()}, task)


def prepared(tmp_path, task, seed=1, again=0):
    prepare = Prepare.model_validate({"corpora": {}, "tasks": {"t": task.model_dump()}})
    params = Params.model_construct(benchmark="tiny", seed=seed, data_root="data", prepare=prepare)
    paths = Paths("tiny", tmp_path / f"build-{seed}-{again}")
    prepare_task(params, paths, task="t")
    return paths.task("t")


def pairs_of(folder, split):
    """(left input, right input, label) of each row."""
    inputs = list(iter_jsonl(folder / split / "inputs.jsonl"))
    return [(inputs[r["input"]], inputs[r["input2"]], r["label"]) for r in iter_jsonl(folder / split / "rows.jsonl")]


# --- hard negatives


def made_up(rng, n, words, lengths):
    """Texts of words of a long tail: some are in most texts, most in few."""
    chance = 1 / np.arange(1, len(words) + 1)
    return [" ".join(rng.choice(words, rng.integers(*lengths), p=chance / chance.sum())) for _ in range(n)]


def brute_force(queries, codes):
    """Cosines (n_queries, n_codes) by scikit-learn."""
    vectorizer = TfidfVectorizer(analyzer=pieces).fit(codes)
    return (vectorizer.transform(queries) @ vectorizer.transform(codes).T).toarray()


def test_pieces_are_those_of_the_baselines():
    for text in ("readHTTPHeader_v2(x1)", "a_b.cD = 'Gr\u00fc\u00dfe'", "__init__", "", "IOError2xy 3.5"):
        assert pieces(text) == word_pieces(text)
    assert pieces("readHTTPHeader_v2") == ["read", "http", "header", "v2"]


@pytest.mark.parametrize("n_codes", [7, 400])
def test_the_pool_is_that_of_a_brute_force_ranking(n_codes):
    rng = np.random.default_rng(3)
    words = [f"w{i}x" for i in range(300)]
    queries, codes = made_up(rng, 300, words, (2, 9)), made_up(rng, n_codes, words, (5, 60))
    never = [set(rng.choice(n_codes, rng.integers(0, 3), replace=False).tolist()) for _ in queries]
    expected = brute_force(queries, codes)
    for query, (found, excluded, cosine) in enumerate(
        zip(nearest(queries, codes, never, 10), never, expected, strict=True)
    ):
        order = sorted((-round(cosine[i], 9), i) for i in range(n_codes) if i not in excluded)
        assert found.tolist() == [i for _, i in order[:10]], query


def test_a_query_without_a_known_word_takes_the_first_codes():
    assert [x.tolist() for x in nearest(["zzz", "b"], ["a", "b", "a b"], [{0}, {1}], 2)] == [[1, 2], [2, 0]]
    assert [x.tolist() for x in nearest(["a"], ["a"], [{0}], 3)] == [[]]


@pytest.mark.parametrize("kind", ["hard", "random"])
@pytest.mark.parametrize("per_positive", [1, 3])
def test_negatives_are_drawn_from_the_pool(kind, per_positive):
    rng = np.random.default_rng(4)
    words = [f"w{i}x" for i in range(200)]
    queries, codes = made_up(rng, 120, words, (2, 9)), made_up(rng, 150, words, (5, 60))
    matching = list(range(100)) + list(range(20))  # twenty codes of two queries; fifty of a code base
    never = [{i, (i + 1) % 150} for i in matching]
    wanted = Negatives(kind=kind, per_positive=per_positive, pool=12)

    def drawn(seed):
        return draw(queries, codes, never, matching, wanted, np.random.default_rng(seed))

    found = drawn(1)
    pools = nearest(queries, codes, never, 12) if kind == "hard" else [np.arange(100)] * 120
    for own, excluded, pool in zip(found, never, pools, strict=True):
        assert len(set(own)) == len(own) == per_positive
        assert not set(own) & excluded and set(own) <= set(pool.tolist())
    assert found == drawn(1) and found != drawn(2)


def test_as_many_codes_as_can_be_are_drawn_as_often_as_they_match():
    """Every pool is of all other codes, so that each code can be drawn once; a code of two pairs twice."""
    queries, codes = ["a"] * 6, ["a b", "a c", "a d", "a e", "a f"]
    matching = [0, 1, 2, 3, 4, 4]
    for seed in range(20):
        found = draw(queries, codes, [{i} for i in matching], matching, HARD, np.random.default_rng(seed))
        assert Counter(i for own in found for i in own) == Counter(matching)
    # codes 0 and 1 are in one pool each, whose pair must not take another: a choice at random would fail half the time
    queries, codes = ["a b", "b c", "c a"], ["a x", "b x", "c x"]
    two = Negatives(kind="hard", per_positive=1, pool=2)
    for seed in range(20):
        found = draw(queries, codes, [{0}, {1}, {2}], [0, 1, 2], two, np.random.default_rng(seed))
        assert sorted(i for own in found for i in own) == [0, 1, 2]


def test_which_pair_goes_without_a_matching_code_is_up_to_the_seed():
    """Codes 2 and 3 can be drawn for the pairs 0 and 1; code 3, of a code base, matches none."""
    never = [{0, 1}, {0, 1}, {0, 1, 2, 3}]
    found = [draw(["a"] * 3, ["a"] * 4, never, [0, 1, 2], HARD, np.random.default_rng(seed)) for seed in range(30)]
    assert {tuple(map(tuple, drawn)) for drawn in found} == {((2,), (2,), ()), ((2,), (3,), ()), ((3,), (2,), ())}


def want_of(rows, kind="hard", per_positive=1):
    negatives = Negatives(kind=kind, per_positive=per_positive, pool=9)
    return Want(rows, cosqa.CLASSES, 9, None, np.random.default_rng(1), negatives=negatives)


def record_of(text, right=None, file="f"):
    return make_record(text, package="p", file=file, name="n", where="w:1", right=right)


@pytest.mark.parametrize("kind", ["hard", "random"])
def test_without_pairs_or_other_codes_there_are_no_negatives(kind):
    for records in ([], [record_of("a code of the base")]):
        assert match_sample(records, want_of(4, kind)).rows == []
    sample = match_sample([record_of("q", "c")], want_of(4, kind))
    assert [row["label"] for row in sample.rows] == [1]
    assert sample.left_out["negative, for which the split has no code"] == 1


def test_a_query_of_two_pairs_has_a_negative_once_and_never_a_code_of_its_own():
    records = [record_of("q", "a"), record_of("q ", "b"), record_of("q", "d"), record_of("only other code")]
    sample = match_sample(records, want_of(6))
    texts = [row["text"] for row in sample.inputs]
    found = [(texts[row["input"]], texts[row["input2"]], row["label"]) for row in sample.rows]
    assert sorted(f for f in found if f[2] == 1) == [("q", "a", 1), ("q", "d", 1), ("q ", "b", 1)]
    assert sorted(f for f in found if f[2] == 0) == [("q", "only other code", 0), ("q ", "only other code", 0)]
    assert sample.left_out["negative that another pair of the query has too"] == 1
    assert sample.facts["negatives"] == {"kind": "hard", "codes": 4, "rows": 2, "code_matches_too": 0.0}


# --- CoSQA


@pytest.mark.parametrize("kind", ["hard", "random"])
def test_negatives_of_the_tiny_task(tmp_path, kind):
    """From the pool, never the query's own code nor another of its codes, and no code in two splits."""
    negatives = {"kind": kind, "pool": 6}
    folder = prepared(tmp_path, task_of(TINY, negatives=negatives))
    card = read_json(folder / "card" / "card.json")
    right: dict[str, set[str]] = {}
    for split in SPLITS:
        rows = pairs_of(folder, split)
        match = [(q, c) for q, c, label in rows if label == 1]
        mismatch = [(q, c) for q, c, label in rows if label == 0]
        assert len(match) == len(mismatch) > 0
        assert Counter(q["id"] for q, _ in match) == Counter(q["id"] for q, _ in mismatch)
        own = {}
        for q, c in match:
            own.setdefault(spaces_key(q["text"]), set()).add(spaces_key(c["text"]))
        assert all(spaces_key(c["text"]) not in own[spaces_key(q["text"])] for q, c in mismatch)
        right[split] = {spaces_key(c["text"]) for _, c, _ in rows}
        codes = {c["id"] for _, c in match}
        facts = card["splits"][split]["negatives"]
        assert facts["kind"] == kind and facts["rows"] == len(mismatch)
        assert facts["code_matches_too"] == np.mean([c["id"] in codes for _, c in mismatch])
        assert kind == "hard" or facts["code_matches_too"] == 1
    assert all(not right[a] & right[b] for a, b in itertools.combinations(SPLITS, 2))


def test_negatives_of_a_split_come_from_its_codes_and_its_part_of_the_code_base(tmp_path):
    task = task_of(TINY, negatives={"kind": "hard", "pool": 4}, rows=dict.fromkeys(SPLITS, 1000))
    folder = prepared(tmp_path, task)
    records = read(TINY, negatives={"kind": "hard", "pool": 4})
    base = {part: [r for r in records if r.right is None and r.split == part] for part in ("train", "dev", "test")}
    assert all(len(members) > 3 for members in base.values())
    texts = [r.text for members in base.values() for r in members]
    assert len(set(texts)) == len(texts) and not {r.right for r in records} & set(texts)
    for part in ("train", "test"):
        rows = pairs_of(folder, part)
        codes = {c["text"] for _, c, label in rows if label == 1} | {r.text for r in base[part]}
        listed = sorted(codes, key=spaces_key)
        queries = [q["text"] for q, _, label in rows if label == 0]
        drawn = [c["text"] for _, c, label in rows if label == 0]
        of = {q["text"]: c["text"] for q, c, label in rows if label == 1}
        for query, code, cosine in zip(queries, drawn, brute_force(queries, listed), strict=True):
            order = sorted((-round(c, 9), i) for i, c in enumerate(cosine) if listed[i] != of[query])
            assert code in {listed[i] for _, i in order[:4]}


def test_the_seed_alone_decides_the_negatives(tmp_path):
    task = task_of(TINY, negatives={"kind": "hard"})
    one, same, other = (prepared(tmp_path, task, *run) for run in ((1, 0), (1, 1), (2, 0)))
    for split in SPLITS:
        assert pairs_of(one, split) == pairs_of(same, split) != pairs_of(other, split)


def test_several_negatives_a_positive(tmp_path):
    folder = prepared(tmp_path, task_of(TINY, negatives={"kind": "hard", "per_positive": 2}))
    for split in SPLITS:
        labels = Counter(label for _, _, label in pairs_of(folder, split))
        assert labels[0] == 2 * labels[1] > 0
        assert len({(q["id"], c["id"]) for q, c, _ in pairs_of(folder, split)}) == sum(labels.values())
    with pytest.raises(PrepareError, match="take `balanced:` out"):
        read(TINY, negatives={"kind": "hard", "per_positive": 2}, balanced=True)


def entries(number, **more):
    return [{"idx": f"q-{i}", "doc": f"how to do {i}", "code": f"def f{i}(): pass", **more} for i in range(number)]


def write(folder, name, value, indent=1):
    text = value if isinstance(value, str) else json.dumps(value, indent=indent)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_labels_are_taken_as_they_are_given(tmp_path):
    rows = [{**entry, "label": i % 3 // 2} for i, entry in enumerate(entries(60))]
    write(tmp_path, "all.json", rows)
    folder = prepared(tmp_path, task_of(tmp_path, shares=SHARES, negatives={"kind": "hard"}))
    label_of = {row["doc"]: (row["code"], row["label"]) for row in rows}
    found = [(q["text"], (c["text"], label)) for split in SPLITS for q, c, label in pairs_of(folder, split)]
    assert dict(found) == label_of and len(found) == 60


def test_labelled_and_matching_splits_go_together(tmp_path):
    write(tmp_path, "train.json", entries(20, label=1))
    labelled = [{**e, "doc": f"dev {e['doc']}", "code": f"dev {e['code']}"} for e in entries(20)]
    write(tmp_path, "dev.json", [{**e, "label": i % 2} for i, e in enumerate(labelled)])
    write(tmp_path, "test.json", [{**e, "doc": f"t {e['doc']}", "code": f"t {e['code']}"} for e in entries(20)])
    folder = prepared(tmp_path, task_of(tmp_path, negatives={"kind": "hard"}))
    assert Counter(label for _, _, label in pairs_of(folder, "train")) == {0: 20, 1: 20}
    assert sum(len(pairs_of(folder, split)) for split in ("tune", "judge")) == 20
    assert "negatives" not in read_json(folder / "card" / "card.json")["splits"]["judge"]


def test_entries_that_share_a_question_or_a_code_are_of_one_file(tmp_path):
    rows = [("a", "x"), ("b", "y"), ("c", "z"), ("a ", "y"), ("d", "w"), ("e", " z\n")]
    write(tmp_path, "all.json", [{"doc": q, "code": c} for q, c in rows])
    records = read(tmp_path, negatives={"kind": "hard"}, shares=SHARES)
    assert [r.file[-1] for r in records] == ["1", "1", "3", "1", "5", "3"]
    assert [r.name for r in records[:2]] == ["entry-1", "entry-2"]


def test_a_gzip_file_and_an_array_as_code_base(tmp_path):
    (tmp_path / "all.json.gz").write_bytes(gzip.compress(json.dumps(entries(9, label=1)).encode()))
    write(tmp_path, "codes.json", ["def f1():  pass", "def new(): pass", "def new():\n pass", "def last(): pass"])
    records = read(tmp_path, negatives={"kind": "hard"}, shares=SHARES)
    assert [r.text for r in records if r.right is None] == ["def new(): pass", "def last(): pass"]


GOOD = '{"idx": "1", "doc": "q", "code": "c", "label": 1}'
BAD_ARRAYS = {  # text of all.json, place, what is said
    "object": ('{"doc": "q"}', ":1: ", "write a json array of objects"),
    "lines": (f"{GOOD}\n{GOOD}\n", ":1: ", "write a json array of objects"),
    "empty": ("", ":1: ", "found ''"),
    "no entry": ("[ ]", ":1: ", "found an empty array"),
    "cut": (f"[\n{GOOD},\n" + '{"idx": "2",\n "doc": "q', ":4: ", "entry that begins on line 3"),
    "no end": (f"[\n{GOOD}\n\n", ":3: ", "found the end of the file after an entry"),
    "no comma": (f"[\n{GOOD}\n{GOOD}]", ":3: ", "after an entry; write , and the next one"),
    "more": (f"[{GOOD}]\n\n{{}}", ":3: ", "after the array; take it out"),
    "not an object": (f"[{GOOD},\n7]", ":2: ", "found int; write an object like"),
    "no code": (f"[{GOOD},\n" + '{"doc": "q", "label": 1}]', ":2: ", "no key 'code'"),
    "empty code": (f"[{GOOD},\n\n" + '{"doc": "q", "code": " ", "label": 1}]', ":3: ", "'code' is empty"),
    "NUL": (f"[{GOOD},\n" + '{"doc": "a\\u0000", "code": "c", "label": 1}]', ":2: ", "'doc' has a NUL character"),
    "surrogate": (f"[{GOOD},\n" + '{"doc": "\\ud800", "code": "c", "label": 1}]', ":2: ", "'doc' has half a surrogate"),
    "doc null": (f"[{GOOD},\n" + '{"doc": null, "code": "c", "label": 1}]', ":2: ", "'doc' is null; write a string"),
    "label 2": (f"[{GOOD},\n" + '{"doc": "q", "code": "c", "label": 2}]', ":2: ", "'label' is 2; write 1"),
    "label true": (f"[{GOOD},\n" + '{"doc": "q", "code": "c", "label": true}]', ":2: ", "'label' is true; write 1"),
    "label list": (f"[{GOOD},\n" + '{"doc": "q", "code": "c", "label": []}]', ":2: ", "'label' is []; write 1"),
    "idx list": (f"[{GOOD},\n" + '{"idx": [], "doc": "q", "code": "c", "label": 1}]', ":2: ", "'idx' is []; write a"),
    "no label": (f"[{GOOD},\n" + '{"doc": "q", "code": "c"}]', ":2: ", "line 1 has a 'label' and line 2 has none"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_a_bad_array_is_refused_with_its_line(tmp_path, name):
    text, place, said = BAD_ARRAYS[name]
    path = write(tmp_path, "all.json", text)
    with pytest.raises(PrepareError) as error:
        read(tmp_path, shares=SHARES, negatives={"kind": "hard"})
    assert str(error.value).startswith(f"{path}{place}") and said in str(error.value)


def test_an_entry_or_a_code_base_nested_too_deep_is_refused_with_its_line(tmp_path):
    rows = {"train": 60, "tune": 30, "judge": 60, "test": 60}
    deep, good = "[" * 100_000 + "]" * 100_000, '{"doc": "x", "code": "y"}'
    task = Task.model_validate({"kind": "cosqa", "negatives": {}, "metric": "accuracy", "rows": rows})
    (tmp_path / "all.json").write_text(f"[{good},\n{deep}]")
    with pytest.raises(PrepareError, match=r"all.json:2: not valid json"):
        cosqa.read({"all": tmp_path / "all.json"}, task)
    (tmp_path / "all.json").write_text(f"[{good}]")
    (tmp_path / "codes.json").write_text(deep)
    with pytest.raises(PrepareError, match=r"codes.json:1: not valid json"):
        cosqa.read({"all": tmp_path / "all.json", "codes": tmp_path / "codes.json"}, task)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    (tmp_path / "all.json").write_bytes(b'[\n{"doc": "\xff"}]')
    with pytest.raises(PrepareError, match=r"all\.json:2: not UTF-8 at byte 9"):
        read(tmp_path, shares=SHARES)


def test_columns_are_not_read(tmp_path):
    with pytest.raises(
        PrepareError, match=r"prepare\.tasks\.t\.columns: the kind 'cosqa' does not read it; take it out"
    ):
        prepared(tmp_path, task_of(TINY, negatives={"kind": "hard"}, columns={"text": "doc"}))


def test_matching_pairs_alone_need_negatives(tmp_path):
    path = write(tmp_path, "all.json", entries(5))
    with pytest.raises(PrepareError, match=r"no entry has the key 'label'.*write `negatives:`.*WebQuery") as error:
        read(tmp_path, shares=SHARES)
    assert str(error.value).startswith(f"{path}: ")
    write(tmp_path, "all.json", entries(5, label=1))
    with pytest.raises(PrepareError, match="every entry has the label 1"):
        read(tmp_path, shares=SHARES)


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ('{"a": 1', ":1: not valid json"),
        ("[]", r": found '\[\]'; write a json object"),
        ("7", ": found '7'; write a json object"),
        ('["a", 7]', ": code 2: 'code' is 7; write a string"),
        ('["a", " "]', ": code 2: 'code' is empty"),
    ],
)
def test_a_bad_code_base_is_refused(tmp_path, codes, said):
    write(tmp_path, "all.json", entries(5))
    write(tmp_path, "codes.json", codes)
    with pytest.raises(PrepareError, match=f"codes.json{said}"):
        read(tmp_path, shares=SHARES, negatives={"kind": "hard"})


def test_a_code_base_without_matching_pairs_is_refused(tmp_path):
    write(tmp_path, "all.json", [{**e, "label": i % 2} for i, e in enumerate(entries(6))])
    write(tmp_path, "codes.json", ["a"])
    with pytest.raises(PrepareError, match="take the role `codes` out"):
        read(tmp_path, shares=SHARES, negatives={"kind": "hard"})


# --- CodeSearchNet

FUNCTION = {
    "repo": "own/tool", "path": "a/b.py", "func_name": "Cache.load_file", "language": "python", "partition": "valid",
    "code": 'def load_file(path):\n    """load_file reads a whole file.\n\n    More of load_file.\n    """\n'
            "    return load_file(path) or open(path)\n",
    "docstring": "load_file reads a whole\n    file, preload_file does not.\n\n    More of load_file.",
}  # fmt: skip
JAVA = {**FUNCTION, "language": "java", "code": 'int loadFile(String p) {\n  return 1; // """no"""\n}'}


def net(tmp_path, rows, **changed):
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    write(tmp_path, "all.jsonl", text)
    return read(tmp_path, "code-search-net", **{"negatives": {"kind": "hard"}, **changed})


def test_sides_of_a_function_are_masked_and_the_docstring_goes(tmp_path):
    records = net(tmp_path, [FUNCTION, JAVA, {**FUNCTION, "func_name": ""}])
    assert records[0].text == "this function reads a whole file, preload_file does not."
    assert records[0].right == "def function(path):\n    return function(path) or open(path)"
    assert (records[0].package, records[0].file, records[0].split) == ("own/tool", "own/tool/a/b.py", "dev")
    assert (records[0].name, records[0].where, records[0].label) == ("Cache.load_file", "all.jsonl:1", None)
    assert records[1].right == JAVA["code"]  # no docstring inside, and another name
    assert records[2].text.startswith("load_file reads") and records[2].right.startswith("def load_file(")
    assert [r.split for r in net(tmp_path, [FUNCTION], shares=SHARES)] == [None]


def test_why_a_function_is_left_out(tmp_path):
    task = task_of(TINY_NET, "code-search-net", max_characters=200)
    changed = {
        "docstring of fewer than 4 words": {"docstring": "load_file reads a file"},
        "docstring stands in the code too": {
            "code": "def load_file(x):\n    # reads a whole file, preload_file does not.\n    x"
        },
        "nothing but a docstring in the body": {"code": 'def load_file(x):\n    """Reads."""'},
        "longer than 200 characters": {"code": "def load_file(x):\n    " + "x" * 200},
    }
    for reason, more in changed.items():
        assert code_search_net.why_not(net(tmp_path, [{**FUNCTION, **more}])[0], task) == reason
    assert code_search_net.why_not(net(tmp_path, [FUNCTION])[0], task) is None


BAD_LINES = {
    "cut": ('{"code": "x', "not valid json"),
    "no docstring": ({k: v for k, v in FUNCTION.items() if k != "docstring"}, "no key 'docstring'"),
    "no partition": ({k: v for k, v in FUNCTION.items() if k != "partition"}, "no key 'partition'"),
    "partition": ({**FUNCTION, "partition": "holdout"}, "'partition' is 'holdout'; write one of train, valid, test"),
    "empty code": ({**FUNCTION, "code": "\n"}, "'code' is empty"),
    "repo": ({**FUNCTION, "repo": 7}, "'repo' is 7; write a string"),
    "name": ({**FUNCTION, "func_name": None}, "'func_name' is null; write a string"),
    "language": ({**FUNCTION, "language": 1}, "'language' is 1; write a string"),
    "NUL": ({**FUNCTION, "code": "a\0"}, "'code' has a NUL character"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_refused(tmp_path, name):
    row, said = BAD_LINES[name]
    with pytest.raises(PrepareError) as error:
        net(tmp_path, [FUNCTION, row])
    assert str(error.value).startswith(f"{tmp_path / 'all.jsonl'}:2: {said}")


def test_functions_alone_need_negatives_and_a_partition_its_own_file(tmp_path):
    with pytest.raises(PrepareError, match=r"write `negatives: \{kind: hard\}`"):
        net(tmp_path, [FUNCTION], negatives=None)
    with pytest.raises(PrepareError, match=r"all\.jsonl: no lines"):
        net(tmp_path, [])
    (tmp_path / "all.jsonl").unlink()
    for part in ("train", "dev", "test"):
        write(tmp_path, f"{part}.jsonl", json.dumps(FUNCTION))
    with pytest.raises(PrepareError, match=r"train\.jsonl:1: 'partition' is 'valid' in the file of the role train"):
        read(tmp_path, "code-search-net", negatives={"kind": "hard"})


def test_the_tiny_functions_make_a_task_of_repositories(tmp_path):
    task = task_of(
        TINY_NET, "code-search-net", negatives={"kind": "hard", "pool": 5}, shares={**SHARES, "group": "package"}
    )
    folder = prepared(tmp_path, task)
    packages = [{q["package"] for q, _, _ in pairs_of(folder, split)} for split in ("train", "judge", "test")]
    assert all(not a & b for a, b in itertools.combinations(packages, 2))
    for split in SPLITS:
        match = {q["text"]: c["text"] for q, c, label in pairs_of(folder, split) if label == 1}
        for query, code, label in pairs_of(folder, split):
            assert '"""' not in code["text"] and "def function(" in code["text"] and "this function" in query["text"]
            assert label == 1 or match[query["text"]] != code["text"]


# --- the real files


def overlap_auc(rows):
    """Chance that a matching pair shares more of its words, of the shorter side's, than one that does not match."""
    words = [(set(pieces(q["text"])), set(pieces(c["text"])), label) for q, c, label in rows]
    share = np.array([len(a & b) / max(1, min(len(a), len(b))) for a, b, _ in words])
    label = np.array([label for *_, label in words])
    ones = label.sum()
    return (rankdata(share)[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no CoSQA files in {REAL}")
def test_hard_negatives_of_cosqa_are_nearly_as_hard_as_human_ones(tmp_path):
    for name, role in (
        ("cosqa-retrieval-dev-500.json.gz", "train.json.gz"),
        ("cosqa-dev.json.gz", "dev.json.gz"),
        ("cosqa-retrieval-test-500.json.gz", "test.json.gz"),
        ("code_idx_map.txt.gz", "codes.json.gz"),
    ):
        (tmp_path / role).symlink_to((REAL / name).absolute())
    auc = {}
    for kind in ("hard", "random"):
        task = task_of(tmp_path, negatives={"kind": kind}, rows=dict.fromkeys(SPLITS, 2000))
        folder = prepared(tmp_path, task)
        rows = {split: pairs_of(folder, split) for split in SPLITS}
        assert len(rows["train"]) > 950 and len(rows["test"]) > 700
        right = {split: {spaces_key(c["text"]) for _, c, _ in rows[split]} for split in SPLITS}
        assert all(not right[a] & right[b] for a, b in itertools.combinations(SPLITS, 2))
        auc[kind] = {split: overlap_auc(rows[split]) for split in ("train", "judge", "test")}
    assert min(auc["random"]["train"], auc["random"]["test"]) > 0.85
    assert max(auc["hard"]["train"], auc["hard"]["test"]) < 0.7
    assert auc["hard"]["judge"] == auc["random"]["judge"] < 0.65  # people said which of these match

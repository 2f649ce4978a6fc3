"""What every kind of task must hold: each file of prepare/tasks/ is run on tiny data, a new one too.

Kinds with SOURCE "corpus" run on tests/data/tiny_corpus, kinds with SOURCE "folder" on tests/data/tiny_<kind>: a file
is named after its role (train.in; all.jsonl), and task.yaml, where there is one, has further keys of the entry, such as
`packages: null` for data that give their splits.
"""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

from neurosieve.artifacts import Paths, check_files, iter_jsonl, read_json, sha256_file
from neurosieve.config import SPLITS, Params, Prepare, task_kinds
from neurosieve.prepare import extract_corpus, prepare_task
from neurosieve.prepare.corpus import folder_sha256
from neurosieve.prepare.tasks import load_kind

PACKAGES = {
    "train": ["geometry", "textkit", "money"],
    "dev": ["graphs", "schedule", "matrix"],
    "test": ["parsing", "stats", "storage"],
}
ROWS = {"train": 48, "tune": 24, "judge": 32, "test": 32}
ROW_KEYS = {
    "token": {"input", "start", "end", "label", "type", "seen"},
    "sequence": {"input", "label"},
    "pair": {"input", "input2", "label"},
}
KINDS = task_kinds()
TOKEN_KINDS = [kind for kind in KINDS if load_kind(kind).UNIT == "token"]
BALANCED = ["doc-match", "poj-104", "variable-misuse"]

every_kind = pytest.mark.parametrize("kind", KINDS)
every_token_kind = pytest.mark.parametrize("kind", TOKEN_KINDS)
every_balanced_kind = pytest.mark.parametrize("kind", BALANCED)


def entry_of(kind):
    """The entry of a kind's tiny task."""
    entry = {"kind": kind, "packages": PACKAGES, "metric": "accuracy", "rows": ROWS}
    module = load_kind(kind)
    limits = {"cap_per_type": 3, "max_rows_per_input": 5}
    entry |= {key: value for key, value in limits.items() if key in getattr(module, "KEYS", ())}
    if module.SOURCE == "corpus":
        return {**entry, "corpus": "tiny"}
    folder = Path("tests/data") / f"tiny_{kind.replace('-', '_')}"
    files = {}
    for path in sorted(folder.iterdir()):
        roles = [role for role in module.ROLES if path.name == role or path.name.startswith(f"{role}.")]
        if roles:
            files[max(roles, key=len)] = {"name": path.name, "sha256": sha256_file(path)}
    more = folder / "task.yaml"
    more = yaml.safe_load(more.read_text(encoding="utf-8")) if more.is_file() else {}
    return {**entry, "folder": str(folder), "files": files, **more}


def params_of(kind, seed):
    folder = Path("tests/data/tiny_corpus")
    corpora = {"tiny": {"folder": str(folder), "sha256": folder_sha256(folder, "python"), "licence": "MIT"}}
    prepare = Prepare.model_validate({"corpora": corpora, "tasks": {kind: entry_of(kind)}})
    return Params.model_construct(benchmark="tiny", seed=seed, prepare=prepare)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Function that gives the folder of a kind's task for a seed; `again` numbers repetitions in other folders."""

    @cache
    def run(kind, seed=1, again=0):
        paths = Paths("tiny", tmp_path_factory.mktemp("build"))
        params = params_of(kind, seed)
        if params.prepare.tasks[kind].corpus:
            extract_corpus(params, paths, corpus="tiny")
        prepare_task(params, paths, task=kind)
        return paths.task(kind)

    return run


def read(folder, split):
    return list(iter_jsonl(folder / split / "inputs.jsonl")), list(iter_jsonl(folder / split / "rows.jsonl"))


def data(folder):
    files = [Path(split) / name for split in SPLITS for name in ("inputs.jsonl", "rows.jsonl")]
    return {str(name): (folder / name).read_bytes() for name in [*files, Path("card/card.json")]}


@every_kind
def test_rows_and_inputs_have_their_form(kind, prepared):
    unit = load_kind(kind).UNIT
    classes = read_json(prepared(kind) / "card" / "card.json")["classes"]
    for split in SPLITS:
        inputs, rows = read(prepared(kind), split)
        check_files(prepared(kind) / split)
        assert [i["id"] for i in inputs] == list(range(len(inputs)))
        assert all(set(i) == {"id", "text", "file", "package", "name"} and i["text"] for i in inputs)
        assert 0 < len(rows) <= ROWS[split]
        assert all(set(row) == ROW_KEYS[unit] for row in rows)
        assert all(type(row["label"]) is int and 0 <= row["label"] < len(classes) for row in rows)
        used = {row[key] for row in rows for key in ("input", "input2") if key in row}
        assert used == set(range(len(inputs)))  # no input is carried along for nothing


@every_token_kind
def test_token_offsets_give_the_type(kind, prepared):
    for split in SPLITS:
        inputs, rows = read(prepared(kind), split)
        places = [(row["input"], row["start"], row["end"]) for row in rows]
        assert len(set(places)) == len(places)
        for row in rows:
            assert inputs[row["input"]]["text"][row["start"] : row["end"]] == row["type"] != ""


@every_token_kind
def test_seen_says_whether_the_type_is_in_train(kind, prepared):
    types = {row["type"] for row in read(prepared(kind), "train")[1]}
    seen = [row["seen"] for split in SPLITS for row in read(prepared(kind), split)[1]]
    assert seen == [row["type"] in types for split in SPLITS for row in read(prepared(kind), split)[1]]
    assert len(set(seen)) == 2


@pytest.mark.parametrize("kind", [kind for kind in TOKEN_KINDS if kind not in BALANCED])
def test_cap_per_type_holds_in_train(kind, prepared):
    assert max(Counter(row["type"] for row in read(prepared(kind), "train")[1]).values()) <= 3


@every_kind
def test_no_package_in_two_splits_and_no_file_in_tune_and_judge(kind, prepared):
    """The first input of a row says its file and package: the second of a pair may be of another one."""
    read_splits = {split: read(prepared(kind), split) for split in SPLITS}
    first = {split: [inputs[row["input"]] for row in rows] for split, (inputs, rows) in read_splits.items()}
    files = {split: {i["file"] for i in first[split]} for split in SPLITS}
    packages = {split: {i["package"] for i in first[split]} for split in SPLITS}
    assert not files["tune"] & files["judge"]
    wanted = entry_of(kind)["packages"] or {split: [split] for split in PACKAGES}
    assert packages["train"] <= set(wanted["train"]) and packages["test"] <= set(wanted["test"])
    assert packages["tune"] == packages["judge"] == set(wanted["dev"])
    assert all(len(files[split]) >= 3 for split in SPLITS)


@every_kind
def test_same_params_give_the_same_bytes(kind, prepared):
    assert data(prepared(kind)) == data(prepared(kind, again=1))


@every_kind
def test_other_seed_gives_other_rows(kind, prepared):
    for split in SPLITS:
        one, two = read(prepared(kind), split), read(prepared(kind, seed=2), split)
        assert one != two


def test_token_tasks_of_a_corpus_take_the_same_functions_in_the_same_order(prepared):
    """So that a model runs once on each. Those without a token of a kind's classes are skipped by that kind."""
    kinds = [kind for kind in TOKEN_KINDS if load_kind(kind).SOURCE == "corpus" and kind not in BALANCED]
    assert {"token-roles", "name-scope", "last-use", "enclosing-block"} < set(kinds)
    for split in SPLITS:
        texts = {kind: [i["text"] for i in read(prepared(kind), split)[0]] for kind in kinds}
        for kind in kinds:
            shared = [text for text in texts["token-roles"] if text in texts[kind]]
            assert shared == [text for text in texts[kind] if text in shared]
            assert len(shared) >= 0.7 * min(len(texts[kind]), len(texts["token-roles"]))


@every_kind
def test_card_is_complete(kind, prepared):
    module, card = load_kind(kind), read_json(prepared(kind) / "card" / "card.json")
    check_files(prepared(kind) / "card")
    assert set(card) == {
        "task", "kind", "unit", "description", "classes", "metric", "scored_classes", "splits", "types", "majority",
        "licences", "left_out", "left_out_first", "short", "target", "duplicates", "notices", "resampled", "parted",
    }  # fmt: skip
    assert (card["kind"], card["unit"], card["metric"]) == (kind, module.UNIT, "accuracy")
    assert len(card["classes"]) >= 2 and len(set(card["classes"])) == len(card["classes"])
    assert module.CLASSES is None or tuple(card["classes"]) == module.CLASSES
    assert card["description"].endswith(".") and card["description"].count(". ") == 0
    packages = {p for split in SPLITS for p in card["splits"][split]["packages"]}
    assert set(card["licences"]) == packages
    for split in SPLITS:
        facts = card["splits"][split]
        assert sum(facts["labels"].values()) == sum(facts["packages"].values()) == facts["rows"]
        assert card["short"].get(split, 0) == ROWS[split] - facts["rows"]
    assert (card["types"] is None) == (module.UNIT != "token")


@pytest.mark.parametrize("kind", [*BALANCED, "first-mention", "indentation"])
def test_classes_are_balanced_where_promised(kind, prepared):
    for split in SPLITS:
        counts = Counter(row["label"] for row in read(prepared(kind), split)[1])
        assert counts[0] == counts[1]


@every_balanced_kind
def test_neither_side_alone_can_tell_the_label(kind, prepared):
    """Every input of a pair stands in either class as often; so does every name of a swapped use."""
    for split in SPLITS:
        for key in ("input", "input2", "type"):
            by_label = [
                Counter(row[key] for row in read(prepared(kind), split)[1] if key in row and row["label"] == c)
                for c in (0, 1)
            ]
            assert by_label[0] == by_label[1]

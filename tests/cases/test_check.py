"""What would stop a run is found before it: by `neurosieve check`, and at the start where it takes no time."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from neurosieve import check, cli, config
from neurosieve.artifacts import sha256_file
from neurosieve.config import Negatives
from neurosieve.flow import source_sums
from neurosieve.prepare.hard_negatives import draw

DEFAULT = Path("params.yaml")
TINY = Path("tests/data/tiny.yaml")
ROWS = {"train": 20, "tune": 5, "judge": 10, "test": 10}


@pytest.fixture
def load(tmp_path):
    """Load the tiny benchmark with changes: a function on the mapping."""

    def changed(change=lambda raw: None):
        raw = yaml.safe_load(TINY.read_text())
        change(raw)
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(raw, sort_keys=False))
        return config.load_params(path)

    return changed


@pytest.fixture
def table(tmp_path):
    """A change that makes the benchmark one task on a table of forty rows; with the file, and its sum unless given."""

    def of(columns, lines=None, sha256=None, **more):
        rows = [{"code": f"f({i})", "has_loop": "yn"[i % 2], "repo": f"r{i % 8}"} for i in range(40)]
        path = tmp_path / "all.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) if lines is None else lines)

        def change(raw):
            raw["prepare"]["tasks"] = {
                "loops": {
                    "kind": "table", "folder": str(tmp_path), "metric": "accuracy", "rows": ROWS, "columns": columns,
                    "files": {"all": {"name": path.name, "sha256": sha256 or sha256_file(path)}},
                    "shares": {"train": 0.5, "dev": 0.3, "test": 0.2}, **more,
                }
            }  # fmt: skip
            raw["run"] |= {"tasks": ["loops"]}
            raw["models"] = {"tiny": {"path": str(tmp_path / "model")}}
            raw["run"]["models"] = ["tiny"]

        return change

    return of


GOOD = {"text": "code", "label": "has_loop", "package": "repo"}


def data(params):
    return [line for line in check.data_faults(params) if not line.startswith("models.")]


# --- D3, N6: what lies here is opened ---------------------------------------------------------------------------------


def test_D3_a_good_table_has_no_faults(load, table):
    assert data(load(table(GOOD))) == []


@pytest.mark.parametrize(
    ("columns", "more", "says"),
    [
        ({**GOOD, "label": "is_loop"}, {}, r"prepare.tasks.loops: .*all.jsonl:1: no column 'is_loop'.*has_loop"),
        (GOOD, {"sha256": "0" * 64}, r"prepare.tasks.loops.files.all: .*found sha256 [0-9a-f]{64}, expected 0{64}"),
        (GOOD, {"classes": ["y", "no"]}, r"all.jsonl:2: found the label 'n', which is not among `classes:` \(y, no\)"),
        (GOOD, {"shares": {"train": 0.5, "dev": 0.3, "test": 0.2, "held_out": ["r9"]}}, "shares.held_out: found r9"),
        (GOOD, {"classes": ["y", "n", "m"]}, "loops.classes: found 'm', of which the data have no row; .* n, y"),
        (GOOD, {"lines": '{"code": "", "has_loop": "y", "repo": "r"}\n'}, "all.jsonl:1: 'code' is empty"),
        (GOOD, {"lines": "code,has_loop,repo\n"}, "all.jsonl:1: not valid json"),
    ],
)  # fmt: skip
def test_D3_what_lies_here_is_opened(load, table, columns, more, says):
    faults = data(load(table(columns, **more)))
    assert re.search(says, "\n".join(faults)), faults


def test_D3_an_empty_file_is_told_at_the_start(load, table):
    (fault,) = [line for line in check.start_faults(load(table(GOOD, lines=""))) if "loops" in line]
    assert fault.endswith("all.jsonl is empty (0 bytes); get it again")


def test_D3_all_faults_at_once(load, table):
    """A wrong sum hides no wrong column, a faulty task no other."""

    def change(raw):
        table({**GOOD, "label": "is_loop"}, sha256="0" * 64)(raw)
        raw["prepare"]["tasks"]["other"] = {**raw["prepare"]["tasks"]["loops"], "columns": {**GOOD, "text": "source"}}
        raw["run"]["tasks"] = ["loops", "other"]

    found = "\n".join(data(load(change)))
    assert found.count("expected 0000") == 2
    assert "loops: " in found and "no column 'is_loop'" in found and "no column 'source'" in found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda raw: raw["prepare"]["tasks"]["doc-match"].update(
            packages={"train": ["geometri"], "dev": ["money"], "test": ["stats"]}),
         "prepare.tasks.doc-match.packages: found geometri, of which the data have nothing; write some of: geometry,"),
        (lambda raw: raw["prepare"]["corpora"]["tiny"].update(sha256="0" * 64),
         r"prepare.corpora.tiny: .*found sha256 474211c0.* expected 0000"),
        (lambda raw: raw["prepare"]["corpora"]["tiny"].update(folder="docs"),
         "prepare.corpora.tiny: docs: no .py file in a sub-folder"),
    ],
)  # fmt: skip
def test_D3_a_corpus_is_looked_through(load, change, says):
    assert data(load()) == []
    assert re.search(says, "\n".join(data(load(change))))


def test_D3_a_corpus_of_tables_is_read(load, table, tmp_path):
    def change(raw):
        table(GOOD)(raw)
        files = raw["prepare"]["tasks"]["loops"]["files"]
        raw["prepare"]["corpora"]["tiny"] = {
            "folder": str(tmp_path), "files": files, "columns": {"text": "code", "package": "repo"}}  # fmt: skip
        raw["prepare"]["tasks"] = {
            "roles": {"kind": "token-roles", "corpus": "tiny", "metric": "macro_f1", "rows": ROWS,
                      "packages": {"train": ["r1", "r2"], "dev": ["r3"], "test": ["none"]}}}  # fmt: skip
        raw["run"]["tasks"] = ["roles"]

    assert data(load(change))[0].startswith("prepare.tasks.roles.packages: found none, of which the data have nothing")


def test_N6_exit_status_and_places(load, table, tmp_path, monkeypatch, capsys):
    load(table({**GOOD, "label": "is_loop"}))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "tokenizer.json").write_text("{")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut off")
    monkeypatch.setenv("NEUROSIEVE_DEVICE", "cuda:7")
    assert cli.main(["check", "--params", str(tmp_path / "mine.yaml")]) == 1
    told = capsys.readouterr().out
    assert "faults: 5\n" in told and "no column 'is_loop'" in told
    assert "NEUROSIEVE_DEVICE: found 'cuda:7'" in told
    assert re.search(r"models\.tiny: .*no config\.json; a model is a folder with", told)
    assert re.search(r"tokenizer\.json: not valid json", told) and re.search("model.safetensors: not readable", told)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("NEUROSIEVE_DEVICE", "cuda:7", "torch .* sees 0 CUDA devices|'cuda:7'"),
        ("NEUROSIEVE_DEVICE", "gpu", "write cpu"),
        ("NEUROSIEVE_THREADS", "100000", "this machine has"),
        ("NEUROSIEVE_THREADS", "two", "this machine has"),
    ],
)
def test_N6_a_device_or_threads_that_are_not_there(load, monkeypatch, variable, value, says):
    def fast(raw):
        raw["numerics"] = "fast"

    assert check.machine_faults(load(fast)) == []
    monkeypatch.setenv(variable, value)
    (fault,) = check.machine_faults(load(fast))
    assert fault.startswith(variable) and re.search(says, fault)
    assert fault not in check.start_faults(load(fast), here=False)  # a cluster's jobs find their devices elsewhere


def test_draws_that_can_support_no_row_are_told_at_the_start_and_not_after_the_dumps(load):
    def draws(number):
        faults = check.start_faults(load(lambda raw: raw["probes"].update(bootstrap=number, confidence=0.99)))
        return [fault for fault in faults if not fault.startswith("models.")]  # which does not lie here

    # one trained model on two tasks: p is 1 / (draws + 1) at best, twice that after Holm
    (fault,) = draws(198)
    assert fault.startswith("probes.bootstrap: 2 rows cannot be told from chance with 198 replicates")
    assert "write probes.bootstrap: 199 or more" in fault
    assert draws(199) == []


def test_a_language_model_without_its_key_is_told_at_the_start(load, monkeypatch):
    def asks(raw):
        explain = {"address": "http://127.0.0.1:9/v1", "model": "m", "key_variable": "KEY_OF_MINE"}
        raw["concepts"]["lenses"] = {"explain": explain}

    for value, says in (
        (None, "found no environment variable KEY_OF_MINE"),
        ("a\u00e9", "KEY_OF_MINE holds a character"),
    ):
        monkeypatch.delenv("KEY_OF_MINE", raising=False)
        if value is not None:
            monkeypatch.setenv("KEY_OF_MINE", value)
        (fault,) = check.machine_faults(load(asks))
        assert fault.startswith("concepts.lenses.explain.key_variable: ") and says in fault
        assert fault not in check.start_faults(load(asks), here=False)
        assert value is None or value not in fault
    monkeypatch.setenv("KEY_OF_MINE", "secret")
    assert check.machine_faults(load(asks)) == []  # nothing was asked: nothing listens there
    assert check.machine_faults(load(lambda raw: raw["concepts"].update(lenses={"explain": {}}))) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("tagset", "fine"), ("misaligned", "skip"), ("balanced", True), ("cap_per_type", 5), ("max_rows_per_input", 9),
     ("negatives", {}), ("columns", {"label": "x"})],
)  # fmt: skip
def test_S6_a_key_that_the_kind_does_not_read_is_refused_at_the_start(load, key, value):
    params = load(lambda raw: raw["prepare"]["tasks"]["doc-match"].update({key: value}))
    says = f"prepare.tasks.doc-match.{key}: the kind 'doc-match' does not read it; take it out"
    assert says in check.start_faults(params)


def test_twins_that_are_one_network_are_told(load, tmp_path):
    for name, size, labels in (("a", 16, ["x"]), ("b", 16, ["y", "z"]), ("c", 32, ["x"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"hidden_size": size, "id2label": labels}))
        (tmp_path / name / "tokenizer.json").write_text("{}")

    def twins(**seeds):
        def change(raw):
            raw["models"] = {n: {"path": str(tmp_path / n)} for n in "abc"}
            raw["models"] |= {f"{n}0": {"untrained": n, "seed": seeds.get(n, 1)} for n in "abc"}
            raw["run"]["models"] = list(raw["models"])

        return change

    (told,) = check.notices(load(twins()))
    assert told.startswith("models.b0: the same network as a0")

    def further(raw):
        twins(b=2)(raw)
        kept = {"embeddings": "kept"}
        raw["models"] |= {"a1": {"untrained": "a", "seed": 1}, "a2": {"untrained": "a", "seed": 1, **kept}}
        raw["models"] |= {"b1": {"untrained": "b", "seed": 1, **kept}}  # a2's configuration, not its embeddings
        raw["run"]["twins"] = ["a1", "a2", "b1"]

    (told,) = check.notices(load(further))
    assert told.startswith("models.a1: the same network as a0")
    assert check.notices(load(twins(b=2))) == []
    (tmp_path / "b" / "tokenizer.json").write_text('{"other": 1}')
    assert check.notices(load(twins())) == []


# --- D4, N10: how a params file is read -------------------------------------------------------------------------------

WORDS = [
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "Yes",
    "OFF",
    "010x",
    "1:20",
    "2024-01-01",
    "1_000",
    "=",
    "0b1",
    "190:20:30",
]


def test_D4_words_that_yaml_1_1_takes_for_something_else_are_texts(tmp_path):
    """Written plainly by a user, and by DVC, which reads and writes YAML 1.2 and drops the quotes."""
    text = TINY.read_text().replace("kind: doc-match", f"kind: doc-match\n      classes: {json.dumps(WORDS)}")
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with modify_yaml(path) as raw:
        raw["seed"] = 6
    assert ", no," in path.read_text()
    params = config.load_params(path)
    assert params.seed == 6 and params.prepare.tasks["doc-match"].classes == WORDS
    path.write_text(text.replace(json.dumps(WORDS), "[" + ", ".join(WORDS) + "]"))
    assert config.load_params(path).prepare.tasks["doc-match"].classes == WORDS


@pytest.mark.parametrize(
    ("written", "read"),
    [("010", 10), ("0o17", 15), ("0x1F", 31), ("+12", 12)],
)
def test_D4_whole_numbers(tmp_path, written, read):
    path = tmp_path / "params.yaml"
    path.write_text(TINY.read_text().replace("seed: 5", f"seed: {written}"))
    assert config.load_params(path).seed == read


def test_D4_brackets_without_end_are_told(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: " + "[" * 3000)
    with pytest.raises(config.ConfigError, match=r"params.yaml: not valid YAML: .*nested too deeply"):
        config.load_params(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pair_features: [absdiff, product]", "pair_features: [absdiff, absdiff]", "named twice: absdiff"),
        ("penalties: [{l1: 0.0, l2: 0.1}, {l1: 0.001", "penalties: [{l1: 0, l2: 0.1}, {l1: 0.0, l2: 0.1}, {l1: 0.001",
         "probes.penalties: .*named twice: l1=0.0 l2=0.1"),
        ("thresholds: [0.1, 0.5]", "thresholds: [0.1, 0.10]", "redundancy.thresholds: .*named twice: 0.1"),
        ("thresholds: [null, 0.3]", "thresholds: [null, null]", "pipeline.thresholds: .*named twice: null"),
        ("  rankings: [lca, probeless]\n", "  rankings: [lca, lca]\n", "subsets.rankings: .*named twice: lca"),
        ("[stats, storage, textkit]", "[stats, stats]", "packages.test: .*named twice: stats"),
        ("grid: [0.0, 0.01]", "grid: [0.0, 0]", "published.grid: .*named twice"),
        ("  baseline_penalties:", "  baseline_ngrams: [4, 1]\n  baseline_penalties:", "the shortest n-gram first"),
        ("  baseline_penalties:", "  baseline_ngrams: [0, 2]\n  baseline_penalties:", "greater than 0"),
        ("kind: doc-match", "kind: doc-match\n      classes: [a, b, a]", "classes: .*named twice: a"),
        ("kind: doc-match", "kind: doc-match\n      columns: {text: a, label: a}",
         "text and label are both the column 'a'"),
    ],
)  # fmt: skip
def test_S6_what_stands_twice_or_the_wrong_way_round_is_refused(tmp_path, old, new, says):
    path = tmp_path / "params.yaml"
    assert old in TINY.read_text()
    path.write_text(TINY.read_text().replace(old, new, 1))
    with pytest.raises(config.ConfigError, match=says):
        config.load_params(path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed: 5", "seed: 1:20", "seed: found '1:20'"),
        ("transfer: true", "transfer: yes", "subsets.transfer: found 'yes'.*; write true or false"),
        ("title: Tiny", "title: 2024", "leaderboard.title: found 2024.*put it in double quotes"),
        ("title: Tiny", "title: ~", "leaderboard.title: found None.*put it in double quotes"),
        ("gap: 1e-4", "gap: .nan", "probes.gap: found nan"),
        ("sequence_epochs: 2", "learning_rate: .inf", "published.learning_rate: found inf.*finite"),
        ("  tiny: {path", "  1: {path", "found the key 1, which is no text; put it in double quotes"),
        ("  tiny: {path", "  [a]: {path", r"found the key \['a'\], which is no text"),
        ("seed: 5", "seed: 5\nseed: 6", "key 'seed' given twice"),
        ("seed: 5", f"seed: {'9' * 5000}", "found a number of 5000 digits; write a smaller one"),
        ("title: Tiny", 'title: "a\\ud800"', r"found the character '.ud800' in a text"),
        ("seed: 1}", f"seed: {2**32}}}", "models.tiny-untrained.seed: found 4294967296; .*less than 4294967296"),
        ("models/tiny", '""', "models.tiny.path: found ''"),
        ("tests/data/tiny_corpus", '""', "prepare.corpora.tiny.folder: found ''"),
    ],
)
def test_D4_what_else_yaml_makes_of_a_word(tmp_path, old, new, says):
    path = tmp_path / "params.yaml"
    assert old in TINY.read_text()
    path.write_text(TINY.read_text().replace(old, new, 1))
    with pytest.raises(config.ConfigError, match=rf"params.yaml:\d+: .*{says}"):
        config.load_params(path)


def test_D4_merge_keys_and_dates_as_names(tmp_path):
    path = tmp_path / "params.yaml"
    text = TINY.read_text().replace("benchmark: tiny", "benchmark: 2024-01-01").replace(
        "    doc-match:\n      kind: doc-match\n", "    doc-match:\n      <<: *roles\n      kind: doc-match\n"
    ).replace("    token-roles:\n", "    token-roles: &roles\n")  # fmt: skip
    path.write_text(re.sub(r"      (metric: accuracy)\n.*\n", r"      \1\n", text))
    params = config.load_params(path)
    assert params.benchmark == "2024-01-01"
    assert params.prepare.tasks["doc-match"].rows == params.prepare.tasks["token-roles"].rows
    assert params.prepare.tasks["doc-match"].metric == "accuracy"


def test_N10_a_file_of_changes_is_told_in_one_line(tmp_path):
    path = tmp_path / "changes.yaml"
    path.write_text("benchmark: mine\nprobes: {gap: 1e-5}\nrun: {tasks: [doc-match]}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load_params(path)
    (line,) = str(caught.value).splitlines()
    assert "`subsets:`" in line and "is a whole benchmark" in line and "copy params.yaml" in line


def test_N10_one_block_that_is_missing_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TINY.read_text().replace("leaderboard: {title: Tiny}", ""))
    with pytest.raises(config.ConfigError, match=r"leaderboard: missing; add `leaderboard:`$"):
        config.load_params(path)


# --- S6, P4: names that go by each other ------------------------------------------------------------------------------


def test_S6_curves_are_those_of_searched_rankings(load):
    def named(*names):
        return lambda raw: raw["leaderboard"].update(curve_rankings=list(names))

    with pytest.raises(config.ConfigError, match=r"curve_rankings.1: found 'auroc', .*one of: bottom, elimination"):
        load(named("lca", "auroc"))
    with pytest.raises(config.ConfigError, match=r"found 'probless', .*'probeless'"):
        load(named("probless"))
    assert load(named("bottom", "pipeline")).curve_rankings() == ["bottom", "pipeline"]
    searches = ["elimination", "exchange", "relaxation"]
    assert load().curve_rankings() == ["lca", "probeless", *searches, "bottom", "random"]

    def off(raw):
        raw["subsets"]["pipeline"] = None
        named("pipeline")(raw)

    with pytest.raises(config.ConfigError, match="found 'pipeline'"):
        load(off)


def test_S6_a_twin_of_a_twin_is_refused(load):
    def change(raw):
        raw["models"]["again"] = {"untrained": "tiny-untrained"}
        raw["run"]["models"].append("again")

    with pytest.raises(
        config.ConfigError, match=r"models.again.untrained: found 'tiny-untrained', which is no trained"
    ):
        load(change)


@pytest.mark.parametrize(
    ("models", "tasks", "says"),
    [
        (["tiny", "tiny__x"], ["doc", "x__doc"], "model 'tiny' on task 'x__doc' and model 'tiny__x' on task 'doc'"),
        (["tiny", "TINY__X"], ["doc", "x__doc"], "both write the row tiny__x__doc"),
        (["tiny", "Tiny"], ["doc"], "run.models: 'tiny' and 'Tiny' are one folder"),
        (["tiny"], ["doc", "DOC"], "run.tasks: 'doc' and 'DOC' are one folder"),
        (["tiny."], ["doc"], "models.tiny..*: found 'tiny.'"),
        (["tiny", "x__tiny"], ["doc", "doc__x"], None),
    ],
)
def test_P4_every_row_has_a_file_of_its_own(load, models, tasks, says):
    def change(raw):
        raw["models"] = {name: raw["models"]["tiny"] for name in models}
        raw["prepare"]["tasks"] = {name: raw["prepare"]["tasks"]["doc-match"] for name in tasks}
        raw["run"] |= {"models": models, "tasks": tasks}

    if says is None:
        load(change)
    else:
        with pytest.raises(config.ConfigError, match=says):
            load(change)


# --- P6: no path of the machine in a certified file -------------------------------------------------------------------


def test_P6_the_leaderboard_is_the_same_wherever_data_and_models_lie(load, table, tmp_path):
    def placed(folder):
        def change(raw):
            table(GOOD)(raw)
            raw["models"]["tiny"] |= {"path": f"{folder}/model", "folders": {"loops": f"{folder}/tuned"}}
            raw["prepare"]["tasks"]["loops"]["folder"] = f"{folder}/data"
            raw["prepare"]["corpora"]["tiny"]["folder"] = f"{folder}/code"
            raw["leaderboard"]["published_figures"] = {
                "file": f"{folder}/figures.csv", "source": "a made-up publication",
                "tasks": {"loops": "loops"}, "models": {"tiny": "tiny"}}  # fmt: skip

        return load(change).settings("build_leaderboard")

    assert placed("/srv/someone") == placed("../there")
    assert "someone" not in json.dumps(placed("/srv/someone"))


def test_P6_a_user_s_file_is_named_without_its_folders(load, tmp_path):
    figures = tmp_path / "someone" / "figures.csv"
    figures.parent.mkdir()
    figures.write_text("x")

    def change(raw):
        raw["leaderboard"]["published_figures"] = {
            "file": str(figures), "source": "a made-up publication",
            "tasks": {"token-roles": "tokens"}, "models": {"tiny": "tiny"}}  # fmt: skip

    sources = source_sums(load(change), "build_leaderboard")
    assert sources == {"published_figures": sha256_file(figures)}


def test_N6_held_out_packages_are_wheels_of_the_corpus(tmp_path):
    raw = yaml.safe_load(DEFAULT.read_text())
    raw["run"]["tasks"].append("doc-match")
    task = raw["prepare"]["tasks"]["doc-match"]
    del task["packages"]
    task["shares"] = {"train": 0.5, "dev": 0.3, "test": 0.2, "held_out": ["nltk", "djangoo"]}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(config.ConfigError, match=r"doc-match\.shares\.held_out\.1: found 'djangoo'"):
        config.load_params(path)


def test_more_cores_than_there_are_are_told(load):
    assert check.notices(load(), check.cores()) == []
    assert check.notices(load(), check.cores() + 1) == [
        f"{check.cores() + 1} cores were asked for, this machine has {check.cores()}: jobs will wait for each other"
    ]


def test_M7_a_pointer_in_a_corpus_or_a_model_hides_no_other_fault(load, tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (tmp_path / "code" / "a").mkdir(parents=True)
    (tmp_path / "code" / "a" / "b.py").write_text(pointer)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(pointer)

    def change(raw):
        raw["prepare"]["corpora"]["tiny"]["folder"] = str(tmp_path / "code")
        raw["models"]["tiny"]["path"] = str(tmp_path / "model")

    found = "\n".join(check.data_faults(load(change)))
    assert "b.py is a git-lfs pointer" in found and "config.json is a git-lfs pointer" in found
    assert "packages: found" in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "a folder; name a params file"),
        ("", "found nothing, expected a mapping"),
        ("- 1", "found a list, expected a mapping"),
        ("hello", "found the single value 'hello', expected a mapping"),
        ("benchmark: my bench\n", "found 'my bench'; write letters, digits"),
    ],
)
def test_what_is_no_params_file_is_named_in_plain_words(tmp_path, capsys, text, said):
    path = tmp_path
    if text is not None:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
    assert cli.main(["check", "--params", str(path)]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "NoneType" not in shown and "pattern" not in shown


def test_a_benchmark_on_tables_alone_needs_no_block_of_corpora(load, table):
    def change(raw):
        table(GOOD)(raw)
        del raw["prepare"]["corpora"]

    assert load(change).prepare.corpora == {}


def test_S6_more_negatives_than_rows_are_refused_at_the_start(load):
    def change(raw):
        raw["prepare"]["tasks"]["doc-match"] |= {
            "kind": "cosqa", "corpus": None, "packages": None, "folder": "tests/data/tiny_cosqa", "files": {},
            "negatives": {"per_positive": 10**9},
        }  # fmt: skip
        raw["run"]["tasks"] = ["doc-match"]

    faults = "\n".join(check.start_faults(load(change)))
    assert "negatives.per_positive: found 1000000000, and `rows:` asks for 10 in a split" in faults


def test_S6_negatives_end_where_every_code_is_drawn():
    all_of_them = Negatives(kind="random", per_positive=10**9)
    chosen = draw(["a b", "c d"], ["a", "b"], [{0}, {1}], [0, 1], all_of_them, np.random.default_rng(0))
    assert chosen == [[1], [0]]

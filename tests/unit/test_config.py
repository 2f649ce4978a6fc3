"""params.yaml: what is wrong is refused with its line, key, what was found and what to write."""

import re
from pathlib import Path

import pytest
import yaml

from neurosieve import config

DEFAULT = Path("params.yaml")


@pytest.fixture
def write(tmp_path):
    """Write the default params file with changes: a function on the text."""

    def change(old: str, new: str) -> Path:
        text = DEFAULT.read_text()
        assert text.count(old) >= 1, f"{old!r} is no longer in params.yaml"
        path = tmp_path / "params.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return change


def line_of(path: Path, text: str) -> int:
    return next(i for i, line in enumerate(path.read_text().splitlines(), start=1) if text in line)


def test_the_default_loads():
    params = config.load_params(DEFAULT)
    assert params.run.models and params.run.tasks


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("numerics: portable", "numeric: portable", ["numeric: unknown key", "'numerics'", "numerics: missing"]),
        (
            "  faithfulness: {tokens: 40,",
            "  attribution: {methods: [activation-gradient, relp]}\n"
            "  faithfulness: {orders: [relp.signed, activation-gradient.signed], tokens: 40,",
            ["orders.1", "'activation-gradient.signed'", "'activation-gradient'?"],
        ),
        ("seed: 7361", "seed: '7361'", ["seed: found '7361'", "integer"]),
        ("ratio: 1.2", "ratio: 1.5", ["subsets.ratio: found 1.5", "1.2"]),
        ("headline: elimination", "headline: eliminate", ["headline 'eliminate' is not among rankings"]),
        ("headline: elimination", "headline: auroc", ["'auroc' is not", "nor among searches ['elimination']"]),
        ("searches: [elimination]", "searches: [elimnation]", ["searches.0: found 'elimnation'", "'elimination'?"]),
        ("searches: [elimination]", "searches: [elimination, elimination]", ["named twice: elimination"]),
        ("curve_rankings: [lca,", "curve_rankings: [exchange,", ["curve_rankings.0: found 'exchange'", "searches"]),
        ("[lca, probeless, auroc,", "[lca, probeles, auroc,", ["probes.rankings.1", "'probeless'?"]),
        ("[lca, probeless, auroc,", "[lca, auroc,", ["subsets.rankings.1: found 'probeless'", "probes.rankings"]),
        ("[lca, probeless, auroc,", "[lca, probeless, lca,", ["probes.rankings", "named twice: lca"]),
        ("agreement_sizes: [10, 30,", "agreement_sizes: [30, 10,", ["probes.agreement_sizes", "ascend"]),
        ("rankings: [lca, probeless, greedy]", "rankings: [lca, bottom]", ["subsets", "'bottom' is a control"]),
        ("representative: medoid", "representative: mean", ["redundancy.representative: found 'mean'", "'medoid'"]),
        ("tasks: [token-roles,", "tasks: [token-rolls,", ["run.tasks.0: found 'token-rolls'", "'token-roles'?"]),
        ("kind: last-use", "kind: last-us", ["prepare.tasks.last-use.kind", "'last-use'?"]),
        ("dev: [networkx,", "dev: [sympy,", ["'sympy' is in train and in dev"]),
        ("dev: [networkx,", "dev: [netwrkx,", ["found 'netwrkx'", "'networkx'?"]),
        ("thresholds: [0.1,", "thresholds: [1.1,", ["redundancy.thresholds.0: found 1.1", "less than 1"]),
        ("{l1: 0.0, l2: 0.1}", "{l1: 0.0, l2: 0.0}", ["probes.penalties.0.l2: found 0.0", "greater than 0"]),
        ("protocols: [strict]", "protocols: [strict, lenient]", ["run.protocols.1: found 'lenient'", "'published'"]),
        ("protocols: [strict]", "protocols: [published]", ["run.protocols: found ['published']", "`strict` must"]),
        ("patience: 2\n  grid: [0.0,", "patience: 2\n  grid: [-1.0,", ["published.grid.0: found -1.0", "0"]),
        ("[null, 0.3]\n  shares:", "[null, 1.3]\n  shares:", ["published", "below 1"]),
        ("layers: 3.0, neurons", "layer: 3.0, neurons", ["published.tolerances.0.layer: unknown key", "'layers'?"]),
        ("  margins:\n    default:", "  margins:\n    defalt:", ["needs an entry `default`"]),
        ("benchmark: default", "benchmark: ../up", ["benchmark: found '../up'"]),
        ("    untrained: neurosieve-base\n    seed: 1", "    untrained: neurosieve-base\n    embeddings: old",
         ["embeddings: found 'old'", "'kept'"]),
        ("    path: models/neurosieve-base\n", "    path: models/neurosieve-base\n    embeddings: kept\n",
         ["models.neurosieve-base: found", "`embeddings: kept` is for an untrained twin"]),
        ("    untrained: neurosieve-base\n    seed: 1", "    untrained: neurosieve-base\n    embeddings: kept\n"
         "    finetune: {tasks: [doc-match], epochs: 1, learning_rate: 1e-4, batch: 8}", ["`finetune:` trains a twin"]),
        ("    path: models/neurosieve-base\n", "    path: models/neurosieve-base\n    only_layers: [2, 1, 1]\n",
         ["models.neurosieve-base.only_layers: found [2, 1, 1]", "write [1, 2]"]),
        ("    path: models/neurosieve-base\n",
         "    path: models/neurosieve-base\n    layers: 7\n    only_layers: [0, 7]\n",
         ["models.neurosieve-base: found", "`only_layers:` names 7, and the layers are 0 to 6"]),
        ("    untrained: neurosieve-base\n    seed: 1", "    untrained: neurosieve-base\n    only_layers: [1]",
         ["an untrained twin takes these from the model it names"]),
        ("  protocols: [strict]\n\nmodels:\n  neurosieve-base:\n",
         "  protocols: [strict, published]\n\nmodels:\n  neurosieve-base:\n    only_layers: [1]\n",
         ["models.neurosieve-base.only_layers: the protocol `published` takes every layer"]),
        ("  tasks: [token-roles,", "  twins: [none]\n  tasks: [token-roles,", ["run.twins.0: found 'none'"]),
        ("  tasks: [token-roles,", "  twins: [neurosieve-base-untrained]\n  tasks: [token-roles,",
         ["run.twins.0: found 'neurosieve-base-untrained'", "in run.models too"]),
        ("  tasks: [token-roles,", "  twins: [minilm]\n  tasks: [token-roles,",
         ["run.twins.0: found 'minilm', which is no untrained twin"]),
        ("  tasks: [token-roles,", "  twins: [minilm-untrained]\n  tasks: [token-roles,",
         ["run.twins.0: found 'minilm-untrained', the twin of 'minilm', which does not run"]),
        ("version: 9\n", "", ["version: missing; add `version:`"]),
        ("version: 9\n", "version: 9\nversion: 9\n", ["'version' given twice"]),
    ],
)  # fmt: skip
def test_a_fault_names_key_value_and_mend(write, old, new, says):
    path = write(old, new)
    with pytest.raises(config.ConfigError) as caught:
        config.load_params(path)
    message = str(caught.value)
    for text in says:
        assert text in message
    assert message.startswith(f"{path}:")


def test_the_line_is_the_line(write):
    path = write("ratio: 1.2", "ratio: 1.5")
    with pytest.raises(config.ConfigError, match=rf":{line_of(path, 'ratio: 1.5')}: subsets.ratio"):
        config.load_params(path)


def test_all_faults_are_told_at_once(write):
    path = write("seed: 7361", "seed: -1")
    path.write_text(path.read_text().replace("window: 512", "window: 5"))
    with pytest.raises(config.ConfigError) as caught:
        config.load_params(path)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"- a\n", "expected a mapping"), (b"a: [\n", "not valid YAML"), (b"a: \xff\n", "not UTF-8 at byte 3")],
)
def test_a_file_that_is_no_params_file(tmp_path, content, says):
    path = tmp_path / "p.yaml"
    path.write_bytes(content)
    with pytest.raises(config.ConfigError, match=says):
        config.load_params(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(config.ConfigError, match="no such file"):
        config.load_params(tmp_path / "none.yaml")


def test_a_number_with_an_exponent_and_no_dot_is_a_number(write):
    assert config.load_params(write("gap: 2e-5", "gap: 3E-5")).probes.gap == 3e-5


def test_twins():
    params = config.load_params(DEFAULT)
    trained, twin = params.run.models[:2]
    assert params.twins_of(trained) == [twin]
    assert params.twins_of(twin) == []


def test_further_twins_come_after_those_that_run(write):
    entries = {
        "late": "untrained: neurosieve-base",
        "foreign": "untrained: minilm",
        "rows": "untrained: neurosieve-base",
    }
    added = "".join(f"  {name}: {{{entry}}}\n" for name, entry in entries.items())
    path = write("\nmodels:\n", f"\nmodels:\n{added}")
    run = "models: [late, neurosieve-base, minilm]\n  twins: [rows, foreign]"
    text, several = re.subn(r"  models: \[[^]]*\]\n", f"  {run}\n", path.read_text(), count=1)
    assert several == 1
    path.write_text(text)
    params = config.load_params(path)
    assert params.probed == ["late", "neurosieve-base", "minilm", "rows", "foreign"]
    assert params.twins_of("neurosieve-base") == ["late", "rows"] and params.twins_of("minilm") == ["foreign"]


def test_settings_change_only_with_what_the_rule_reads(write):
    """Snakemake reruns a rule when its settings change: a margin must not redo the activations."""
    before = config.load_params(DEFAULT)
    after = config.load_params(write("default: {value: 0.01", "default: {value: 0.02"))
    names = {"corpus": "wheels", "model": before.run.models[0], "task": "token-classes"}

    def settings(params, rule):
        return params.settings(rule, **names)

    assert settings(before, "search_subsets") != settings(after, "search_subsets")
    for rule in ("extract_corpus", "prepare_task", "dump_activations", "measure_redundancy", "fit_probes"):
        assert settings(before, rule) == settings(after, rule)
    # as many of the first neurons are described, ablated, listed, asked
    more = before.concepts.model_copy(update={"neurons": before.concepts.neurons + 1})
    after = before.model_copy(update={"concepts": more})
    for rule in ("describe_neurons", "ablate_neurons", "attribute_neurons"):
        assert settings(before, rule) != settings(after, rule), rule


def test_every_phase_key_exists_and_every_block_belongs_to_a_phase():
    raw = yaml.safe_load(DEFAULT.read_text())
    for phase, keys in config.PHASE_KEYS.items():
        for key in keys:
            block = raw
            for part in key.split("."):
                assert part in block, f"{phase}: {key}"
                block = block[part]
    used = {key.split(".")[0] for keys in config.PHASE_KEYS.values() for key in keys}
    assert used == set(config.Params.model_fields) - {"data_root"}  # where files lie changes no result


def test_every_field_with_a_choice_is_described():
    """A reader of the schema needs no other page: key names and descriptions are in it."""
    schema = config.Params.model_json_schema()
    assert schema["additionalProperties"] is False
    assert re.search("relative duality gap", str(schema))


def test_missing_folders_and_files_are_listed_with_their_source(write, tmp_path, monkeypatch):
    monkeypatch.setenv(config.DATA_VARIABLE, str(tmp_path))
    path = write("path: models/neurosieve-base", "path: models/none")
    assert config.load_params(path).missing_files() == [
        f"models.neurosieve-base: no folder models/none, nor {tmp_path / 'models/none'}"
    ]
    (tmp_path / "models" / "none").mkdir(parents=True)
    assert config.load_params(path).missing_files() == []
    task = """    token-roles:
      kind: tagged-lines
      folder: tags
      files: {train.in: {name: a.in, sha256: null, source: "a library"}}
      metric: macro_f1
"""
    whole = path.read_text().replace("models/none", "models/neurosieve-base")
    begin, end = whole.index("    token-roles:\n"), whole.index("    name-scope:\n")
    rows = "      rows: {train: 1, tune: 1, judge: 1, test: 1}\n"
    anchor = "&packages {train: [sympy], dev: [networkx], test: [nltk]}"
    text = whole[:begin] + task + rows + whole[end:].replace("*packages", anchor, 1)
    path.write_text(text)
    file = tmp_path / "tags" / "a.in"
    missing = config.load_params(path).missing_files()
    assert missing == [f"prepare.tasks.token-roles: no file {file}; get it from a library"]


def test_a_relative_folder_is_found_as_written_then_below_the_data_root(write, tmp_path, monkeypatch):
    params = config.load_params(write("version: 2", "version: 2"))
    assert params.resolve("models/neurosieve-base").as_posix() == "models/neurosieve-base"
    monkeypatch.delenv(config.DATA_VARIABLE, raising=False)
    assert params.resolve("clones").as_posix() == "data/clones"
    monkeypatch.setenv(config.DATA_VARIABLE, "/elsewhere")
    assert params.resolve("clones").as_posix() == "/elsewhere/clones"
    assert params.resolve("/there/clones").as_posix() == "/there/clones"

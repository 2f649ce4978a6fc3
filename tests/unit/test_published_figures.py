"""Published figures beside the rows: which line is taken, what is refused, where they stand; hand-made files."""

import copy
from pathlib import Path

import pytest
from leaderboard_build import collected, make_params, write_build

from neurosieve.artifacts import Paths, check_files, read_json, read_manifest, sha256_file
from neurosieve.config import ConfigError, Params, PublishedFigures, load_params
from neurosieve.leaderboard import build_leaderboard, published_figures, table

HEAD = "task,model,step,layers,cluster_threshold,n_neurons,metric,score\n"
BODY = (
    "tags,big/model,oracle,,,1000,accuracy,0.9\n"
    "tags,big/model,lca,,,50,accuracy,0.88\n"
    "tags,big/model,cc,,0.3,400,accuracy,0.99\n"  # a reduced set, but no ranked subset
    "tags,big/model,ls+cc+lca,0-3,0.3,20,accuracy,0.89\n"
    "pairs,big/model,oracle,,,1000,f1,0.8\n"
    "pairs,big/model,lca,,,70,f1,0.75\n"
    "pairs,big/model,ls+cc+lca,0-3,,60,f1,0.75\n"  # as good with fewer neurons
    "pairs,other,lca,,,5,f1,0.5\n"  # no oracle: no figures
)
TASKS = {"token-roles": "tags", "doc-match": "pairs"}


def with_figures(path: Path, text: str, **changes) -> Params:
    path.write_text(HEAD + text)
    block = {"file": str(path), "source": "a made-up publication", "tasks": TASKS}
    block |= {"models": {"neurosieve-base": "big/model"}} | changes
    params = make_params(["neurosieve-base", "neurosieve-base-untrained"], ["token-roles", "doc-match"])
    board = params.leaderboard.model_copy(update={"published_figures": PublishedFigures.model_validate(block)})
    return params.model_copy(update={"leaderboard": board})


def test_the_best_ranked_subset_is_taken_and_of_equal_ones_the_smaller(tmp_path):
    found = published_figures.read_figures(with_figures(tmp_path / "f.csv", BODY))
    assert found == {
        ("neurosieve-base", "token-roles"): {
            "published_model": "big/model",
            "published_metric": "accuracy",
            "published_score": 0.9,
            "published_n_neurons": 20,
            "published_subset_score": 0.89,
            "n_all": 1000,
        },
        ("neurosieve-base", "doc-match"): {
            "published_model": "big/model",
            "published_metric": "f1",
            "published_score": 0.8,
            "published_n_neurons": 60,
            "published_subset_score": 0.75,
            "n_all": 1000,
        },
    }


def test_a_file_that_is_not_utf8_is_named_with_its_line_and_a_mark_is_no_column(tmp_path):
    params = with_figures(tmp_path / "f.csv", BODY)
    whole = published_figures.read_figures(params)
    data = (tmp_path / "f.csv").read_bytes()
    (tmp_path / "f.csv").write_bytes(b"\xef\xbb\xbf" + data)
    assert published_figures.read_figures(params) == whole
    (tmp_path / "f.csv").write_bytes(data.replace(b"other", b"autre\xe9"))
    with pytest.raises(ConfigError, match=r"f\.csv:9: not UTF-8"):
        published_figures.read_figures(params)


def test_a_pair_without_an_oracle_and_a_file_that_names_none_give_nothing(tmp_path):
    lone = with_figures(tmp_path / "f.csv", BODY, models={"neurosieve-base": "other"})
    assert published_figures.read_figures(lone) == {}
    assert published_figures.read_figures(make_params()) == {}
    alone = {"models": {"minilm": "m"}, "tasks": {"token-roles": "tags"}}
    no_subset = with_figures(tmp_path / "g.csv", "tags,m,oracle,,,9,accuracy,0.5\n", **alone)
    (cells,) = published_figures.read_figures(no_subset).values()
    assert cells["published_score"] == 0.5 and cells["published_subset_score"] is cells["published_n_neurons"] is None


@pytest.mark.parametrize(
    ("text", "changes", "says"),
    [
        ("tags,big/model,oracle,,,many,accuracy,0.9\n", {}, [":2: found score '0.9'", "'many'"]),
        ("tags,big/model,oracle,,,9,accuracy,90.1\n", {}, [":2: found score 90.1", "from 0 to 1"]),
        (BODY + "tags,big/model,oracle,,,9,accuracy,0.9\n", {}, [":10: a second oracle of big/model"]),
        (BODY, {"models": {"neurosieve-base": "bg/model"}}, ["models.neurosieve-base: found 'bg/model'", "big/model"]),
        (BODY, {"tasks": {"token-roles": "tag"}}, ["tasks.token-roles: found 'tag'", "pairs, tags"]),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, text, changes, says):
    with pytest.raises(ConfigError) as caught:
        published_figures.read_figures(with_figures(tmp_path / "f.csv", text, **changes))
    for part in says:
        assert part in str(caught.value)


def test_a_missing_file_or_column_is_named(tmp_path):
    params = with_figures(tmp_path / "f.csv", BODY)
    (tmp_path / "f.csv").write_text("task,model,step\n")
    with pytest.raises(ConfigError, match=r"f\.csv:1: no column n_neurons, metric, score"):
        published_figures.read_figures(params)
    (tmp_path / "f.csv").unlink()
    with pytest.raises(ConfigError, match="no file"):
        published_figures.read_figures(params)


def test_the_table_of_the_page_says_that_only_shapes_compare(tmp_path):
    params = with_figures(tmp_path / "f.csv", BODY)
    rows = [copy.deepcopy(r) for r in collected()[0] if r["model"] == "neurosieve-base" and r["task"] in TASKS]
    rows[0] |= {"oracle": 0.8, "n_minimal": None, "estimate": 10, "n_neurons": 500, "subset_test": 0.7}
    rows[0] |= {"best_baseline": "surface", "surface": 0.6, "status": "surface", "metric": "macro_f1"}
    found = published_figures.table(params, rows, published_figures.read_figures(params))
    assert "never compare absolute scores, only shapes" in found["text"] and "a made-up publication" in found["text"]
    assert found["lines"][0] == (
        "token-roles, neurosieve-base",
        [
            *("big/model, accuracy", "0.900", "20 (2.0 %)", "0.890"),
            *("surface, macro_f1", "0.800", "about 10 (2.0 %)", "0.700", "0.600 (surface)"),
        ],
    )
    assert len(found["lines"]) == 2 and all(len(cells) == len(found["heads"]) for _, cells in found["lines"])
    assert published_figures.table(params, [rows[0] | {"model": "minilm"}], {}) is None


def test_they_stand_in_csv_rows_and_manifest_and_only_where_they_are_asked_for(tmp_path):
    params = with_figures(tmp_path / "f.csv", BODY)
    paths = Paths("default", tmp_path / "build")
    write_build(params, paths)
    build_leaderboard(params, paths)
    folder = paths.leaderboard()
    check_files(folder)
    lines = table.read_csv((folder / "leaderboard.csv").read_text())
    assert [line["published_n_neurons"] for line in lines] == ["20", "60", "", ""]  # a twin has none
    assert lines[0]["published_score"] == "0.9000" and lines[0]["published_model"] == "big/model"
    assert read_json(folder / "rows" / "neurosieve-base__doc-match.json")["published_subset_score"] == 0.75
    assert read_manifest(folder)["sources"] == {"published_figures": sha256_file(tmp_path / "f.csv")}
    assert read_json(folder / "benchmark.json")["figures"]["lines"]

    plain = make_params(params.run.models, params.run.tasks)
    build_leaderboard(plain, paths)
    lines = table.read_csv((folder / "leaderboard.csv").read_text())
    assert {line[name] for line in lines for name in table.FIGURES} == {""}
    assert "published_score" not in (folder / "rows" / "neurosieve-base__doc-match.json").read_text()
    assert read_json(folder / "benchmark.json")["figures"] is None


def test_the_committed_figures_are_whole():
    """Seven models, four tasks, an oracle of 9,984 neurons each; the best ranked subset by an independent reading."""
    lines = [line.split(",") for line in Path("presets/reference/published_selection.csv").read_text().split("\n")[1:]]
    lines = [line for line in lines if line != [""]]
    assert len({(line[0], line[1]) for line in lines}) == 28 and len(lines) == 140
    codebert = [line for line in lines if line[1] == "microsoft/codebert-base" and line[0] == "clone-detection"]
    best = max((line for line in codebert if line[2].endswith("lca")), key=lambda line: float(line[-1]))
    params = load_params("presets/published.yaml")
    found = published_figures.read_figures(params)["codebert", "clones"]
    assert found["published_n_neurons"] == int(best[5]) and found["published_subset_score"] == float(best[-1])
    assert found["published_score"] == 0.805 and found["n_all"] == 9984

"""Leaderboard folders as the site reads them."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from site_build import make_older, rename, write_leaderboard

from neurosieve.artifacts import csv_lines
from neurosieve.site.read import OWN, SiteError, benchmark_of, read_all, read_results


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_leaderboard(tmp_path_factory.mktemp("site"))


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results" / "default")


def test_rows_have_all_keys_and_the_order_of_the_table(made):
    results = read_results(made)
    assert (results.name, results.folder, results.origin) == ("default", "default", OWN)
    listed = [line.split(",")[3:5] for line in (made / "leaderboard.csv").read_text().splitlines()[1:]]
    assert [[row["model"], row["task"]] for row in results.rows] == listed
    assert set(results.cards) == {row["task"] for row in results.rows}
    assert results.facts["title"] == "NeuroSieve: how many neurons does a task need?" and results.facts["seed"] == 7361
    assert results.comparisons.keys() == results.cards.keys()


def test_an_older_folder_lacks_much_and_is_read(folder):
    whole = read_results(folder)
    make_older(folder)
    results = read_results(folder)
    assert len(results.rows) == len(whole.rows) and results.cards == {} and results.figures is None
    assert results.facts == {
        "title": "default",
        "benchmark": "default",
        "version": 1,
        "protocol": "strict",
        "native": [],
    }
    row = results.rows[0]
    assert row["faithfulness"] is None and row["lenses"] == {}
    # the table of that release may still tell what the row does not
    assert row["evidence"] == whole.rows[0]["evidence"]


@pytest.mark.parametrize("key", ["mean_tune", "layer_selection"])
def test_rows_of_which_no_page_can_be_made_are_refused(folder, key):
    path = folder / "rows" / "minilm__token-roles.json"
    row = json.loads(path.read_text())
    path.write_text(json.dumps(row | {key: None}))
    with pytest.raises(
        SiteError, match=rf"rows: the row of 'minilm' on 'token-roles' has no {key}; it is of an earlier"
    ):
        read_results(folder)


def test_rows_of_another_protocol_are_taken_from_the_table(folder):
    (folder / "benchmark.json").unlink()
    table = folder / "leaderboard.csv"
    head, first = list(csv.reader(table.open(newline="")))[:2]
    other = dict(zip(head, first, strict=True))
    other |= {"protocol": "published", "status": "", "oracle": "0.8125", "n_minimal": "120", "confirmed": ""}
    table.write_text("".join(csv_lines([head, first, list(other.values())])))
    results = read_results(folder)
    assert len(results.rows) == 1
    (row,) = results.published
    assert (row["oracle"], row["n_minimal"], row["status"], row["confirmed"]) == (0.8125, 120, None, None)


def test_a_name_that_looks_like_a_formula_is_found_again(folder):
    rename(folder, {"minilm": "=cmd()"})
    assert "'=cmd()" in (folder / "leaderboard.csv").read_text()
    assert [row["model"] for row in read_results(folder).rows].count("=cmd()") == 4


def test_names_of_the_table_lead_to_no_file_elsewhere(folder):
    (folder.parent / "secret.json").write_text(json.dumps({"model": "../secret", "task": "x"}))
    table = folder / "leaderboard.csv"
    table.write_text(table.read_text().replace(",minilm,token-roles,", ",../../secret,token-roles,", 1))
    with pytest.raises(SiteError, match=r"leaderboard\.csv:\d+: no file in .* is the row of '\.\./\.\./secret'"):
        read_results(folder)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("comparisons.json", "{", r"comparisons\.json:1: not valid json"),
        ("transfer.json", '{"a":\n NaN}', r"transfer\.json:1: not valid json \(found NaN"),
        ("rows/minilm__token-roles.json", "[]", r"minilm__token-roles\.json:1: not a row"),
        ("leaderboard.csv", "benchmark,version\ndefault,1\n", r"leaderboard\.csv:1: no column protocol, model, task"),
        ("leaderboard.csv", "benchmark,version,protocol,model,task\n", r"leaderboard\.csv:1: no rows"),
        ("leaderboard.csv", "benchmark,version,protocol,model,task\ndefault,1\n", r"leaderboard\.csv:2: not as many"),
        (
            "leaderboard.csv", "benchmark,version,protocol,model,task\ndefault,one,strict,a,b\n",
            r"leaderboard\.csv:2: version: found 'one'",
        ),
    ],
)  # fmt: skip
def test_faults_name_the_file(folder, name, text, told):
    (folder / name).write_text(text)
    with pytest.raises(SiteError, match=told):
        read_results(folder)


def test_no_folder_the_same_folder_and_one_without_results(folder, tmp_path):
    with pytest.raises(SiteError, match="at least one folder"):
        read_all([])
    with pytest.raises(SiteError, match="default was given 2 times; give each once"):
        read_all([(folder, OWN), (folder, OWN)])
    with pytest.raises(SiteError, match=r"nothing/leaderboard\.csv: not there"):
        read_all([(tmp_path / "nothing", OWN)])
    other = shutil.copytree(folder, tmp_path / "submission")
    assert [one.folder for one in read_all([(folder, OWN), (other, OWN)])] == ["default", "submission"]
    built = tmp_path / "build" / "default"
    shutil.copytree(folder, built / "leaderboard")  # as a run leaves it, beside what is committed
    found = [one.folder for one in read_all([(folder, OWN), (built / "leaderboard", OWN)])]
    assert found == [folder.as_posix(), (built / "leaderboard").as_posix()]
    assert benchmark_of(folder) == ("default", 1)

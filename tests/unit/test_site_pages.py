"""The pages of the site: whole, linked, escaped, the same bytes each time."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import posixpath
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from site_build import make_older, rename, write_leaderboard

from neurosieve.leaderboard.table import COLUMNS
from neurosieve.site import board, make_site, pages, pairs, texts
from neurosieve.site.charts import parts
from neurosieve.site.read import OWN, SiteError, read_all, read_results

ATTACK = "<script>alert(1)</script>"
FORMULA = "=cmd()"


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.loaded, self.tags = [], [], [], []
        self.inline, self.data, self.title = [], [], ""
        self._inside: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        if tag in ("script", "link", "img") and ("src" in found or "href" in found):
            self.loaded.append(found.get("src") or found["href"])
        self.inline += [key for key in found if key == "style" or key.startswith("on")]
        self._inside.append((tag, found))

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, found = self._inside[-1] if self._inside else ("", {})
        if tag == "title":
            self.title += data
        if tag == "script" and data.strip():
            if found.get("type") == "application/json":
                self.data.append(data)
            else:
                self.inline.append(data)
        if tag == "style":
            self.inline.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_leaderboard(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def files(made):
    return pages.render([read_results(made)])


@pytest.fixture(scope="module")
def hostile(made, tmp_path_factory):
    """Names that would run in a page or in a spreadsheet, and a second benchmark of the same name."""
    one = shutil.copytree(made, tmp_path_factory.mktemp("hostile") / "default")
    rename(one, {"minilm": ATTACK, "doc-match": FORMULA, "neurosieve-base": "../../a b&c\"'"})
    two = shutil.copytree(made, one.parent / "older")
    make_older(two)
    return pages.render(read_all([(one, OWN), (two, OWN)]))


def htmls(files):
    return {name: Page(text) for name, text in files.items() if name.endswith(".html")}


def test_files_of_the_site(files):
    kinds = {
        name: sum(file.startswith(f"{name}/") for file in files) for name in ("rows", "models", "tasks", "compare")
    }
    assert kinds == {"rows": 16, "models": 4, "tasks": 4, "compare": 4}
    assert {"index.html", "benchmarks.html", "reading.html", "compare.html", "table.csv", "table.json"} <= set(files)


@pytest.mark.parametrize("which", ["files", "hostile"])
def test_every_page_is_whole(which, request):
    for name, page in htmls(request.getfixturevalue(which)).items():
        names = [tag for tag, _ in page.tags]
        assert page.title.strip(), name
        assert (names.count("main"), names.count("h1")) == (1, 1), name
        assert ("a", {"class": "skip", "href": "#main"}) in page.tags and "main" in page.ids, name
        assert len(page.ids) == len(set(page.ids)), name
        assert page.inline == [], name
        (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy
        for text in page.data:
            json.loads(text)
        for tag, attributes in page.tags:
            if tag == "th":
                assert attributes.get("scope") in ("row", "col"), name
            if tag == "table":
                assert "caption" in names


@pytest.mark.parametrize("which", ["files", "hostile"])
def test_every_link_leads_somewhere(which, request):
    files = request.getfixturevalue(which)
    found = htmls(files)
    for name, page in found.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme:
                assert link.startswith("https://arxiv.org/abs/") and link not in page.loaded, link
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            )
            assert target in files, f"{name}: {link}"
            if parts.fragment and "=" not in parts.fragment:
                assert unquote(parts.fragment) in found[target].ids, f"{name}: {link}"


def test_names_of_files_are_plain_and_distinct_whatever_the_case(hostile):
    assert all(re.fullmatch(r"[A-Za-z0-9_.\-/]+", name) and ".." not in name.split("/") for name in hostile)
    assert len({name.lower() for name in hostile}) == len(hostile)
    assert pages.slug("a", "B") != pages.slug("a", "b") and pages.slug("a_", "b") != pages.slug("a", "_b")
    assert len(pages.slug("x" * 500)) < 140 and pages.slug("x" * 500) != pages.slug("x" * 501)


def test_names_run_nowhere(hostile):
    for name, text in hostile.items():
        if name.startswith("assets/"):
            continue
        if name.endswith((".html", ".js")):
            assert ATTACK not in text, name
            assert "<script>alert" not in text
    index = hostile["index.html"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in index
    assert any(ATTACK in a.get("data-model", "") for _, a in Page(index).tags)  # whole, once it is read
    cells = next(csv.reader(io.StringIO(hostile["table.csv"].split("\n")[-2])))
    assert len(cells) == len(pages.SOURCE) + len(COLUMNS)
    assert f"'{FORMULA}" in hostile["table.csv"] and f",{FORMULA}" not in hostile["table.csv"]
    assert FORMULA in {row["task"] for row in json.loads(hostile["table.json"])}


def test_results_of_one_name_are_told_apart(hostile):
    options = [a for t, a in Page(hostile["index.html"]).tags if t == "tr" and "data-benchmark" in a]
    assert {a["data-benchmark"] for a in options} == {"default (default)", "default (older)"}
    assert sum(name.startswith("rows/") for name in hostile) == 32


def test_table_holds_every_column_of_every_row(files, made):
    table = list(csv.DictReader(io.StringIO(files["table.csv"])))
    assert list(table[0]) == [*pages.SOURCE, *COLUMNS]
    own = {key: "" for key in pages.SOURCE} | {"results": "default"}
    with (made / "leaderboard.csv").open(newline="") as file:
        wanted = [own | row for row in csv.DictReader(file)]
    assert sorted(map(str, table)) == sorted(map(str, wanted))
    assert [row["model"] for row in json.loads(files["table.json"])] == [row["model"] for row in table]


def test_rows_that_were_handed_in_are_marked_everywhere_and_claim_nothing_in_sum(made, tmp_path):
    pack = shutil.copytree(made, tmp_path / "leaderboard")
    claimed = {"by": "default", "benchmark": "default", "version": 1, "reproduced": False}  # named as our folder is
    site = pages.render(read_all([(made, OWN), (pack, claimed)]))
    alone = pages.render([read_results(made)])
    rows = json.loads(site["table.json"])
    assert [row["submitted_by"] for row in rows] == [None] * 16 + ["default"] * 16
    assert [row["reproduced"] for row in rows] == [None] * 16 + [False] * 16
    assert {row["results"] for row in rows} == {"default (default)", "default (by default)"}
    assert "16 of these rows were handed in and not made again here" in site["index.html"]

    def overview(index):
        (spec,) = [json.loads(text) for text in Page(index).data]
        return spec

    assert overview(site["index.html"]) == overview(alone["index.html"])  # its rows would be there twice
    again = pages.render(read_all([(made, OWN), (pack, claimed | {"reproduced": True})]))
    assert "not made again" not in again["index.html"]
    assert overview(again["index.html"]) != overview(alone["index.html"])
    theirs = [text for name, text in site.items() if name.startswith("rows/default_20_") and "by_20_default" in name]
    assert len(theirs) == 16
    for text in theirs:
        assert "results/default/rows" not in text
        assert "in the pack of default" in text
    benchmarks = site["benchmarks.html"]
    assert (benchmarks.count("make benchmark"), benchmarks.count("params.yaml of the pack")) == (1, 1)


def test_the_first_page_tells_where_the_bits_are_of_other_hardware(files, made):
    one = read_results(made)
    other = dataclasses.replace(one, facts={**one.facts, "native": ["aarch64 without avx2"]})
    told = "portable was asked for and did not hold (aarch64 without avx2)"
    assert told in pages.render([other])["index.html"]
    assert told not in files["index.html"]


def test_without_an_upper_end_no_dash_stands_for_it(made):
    one = read_results(made)
    (row, *_) = [row for row in one.rows if parts.claims(row)]
    endless = {**row, "n_minimal_low": 84, "n_minimal_high": None}
    assert board.line(endless, "s", "g", "t", "1", 10_000, True).cells["n_minimal"].sub == "84 or more"
    assert "84 or more." in texts.answer(endless)
    assert parts.minimal_text(endless).endswith("on another judge 84 or more")
    assert texts.key_figures(endless, "1")[0][2] == "84 or more on another judge"
    strip = board.strip(endless, row["n_neurons"])
    assert float(strip["left"]) + float(strip["width"]) == pytest.approx(97, abs=0.11)  # of 3 to 97: to the end


def test_what_is_compared_says_what_made_it_and_claims_no_more_than_the_table(made, tmp_path):
    one = read_results(made)
    row = next(row for row in one.rows if texts.supported(row) and row["n_minimal"] is not None)
    task = row["task"]
    weak = {**row, "status": "no twin", "protocol": "other", "model": "weak"}
    found = pairs.of_task(one, "shown as", task, [("a", row), ("b", weak)])
    a, b = found["rows"]["a"], found["rows"]["b"]
    assert a["results"] == "shown as" and (a["protocol"], b["protocol"]) == ("strict", "other")
    assert a["figures"]["n_minimal"][0] == row["n_minimal"]
    assert b["figures"]["n_minimal"] == [None, f"about {row['n_minimal']:,}, no claim"]
    assert b["figures"]["share"] == b["figures"]["n_bound"] == [None, "–"]
    assert a["words"]["why"] is None and b["words"]["why"] and a["words"]["origin"] is None
    code, inputs = "c0de" * 16, {f"prepare/tasks/{task}/test": "7e57" * 16}
    params = {"seed": 3, "prepare": {"tasks": {task: {"kind": "k"}, "other": {"kind": "o"}}}}
    told = dataclasses.replace(one, manifest={"code": code, "lock": "10cc" * 16, "inputs": inputs, "params": params})
    made_by = pairs.of_task(told, "x", task, [])["made"]
    assert (made_by["code"], made_by["lock"], made_by["sha256 of test"]) == (code[:12], "10cc" * 3, "7e57" * 3)
    assert made_by["task.kind"] == "k" and "o" not in made_by.values()
    silent = pairs.of_task(dataclasses.replace(one, manifest={}), "x", task, [])["made"]
    assert {name for name, text in silent.items() if text is None} == {"params", "code", "lock", "data"}
    handed_in = dataclasses.replace(one, origin={"by": "lab", "reproduced": False})
    words = pairs.of_task(handed_in, "x", task, [("a", row)])["rows"]["a"]["words"]
    assert words["origin"] == "claimed by lab, not reproduced"


def test_rows_of_two_results_are_paired_where_their_draws_are_the_same(made, tmp_path):
    """By their replicates: two results of one run differ by nothing, and two models as the leaderboard says."""
    one = read_results(made)
    task = "token-roles"
    rows = {row["model"]: row for row in one.rows if row["task"] == task}
    own = [(f"own {name}", row) for name, row in rows.items()]
    before = [(f"before {name}", row) for name, row in rows.items()]
    found = pairs.of_task(one, "x", task, own, [(one, before)])["pairs"]
    across = {kind: {(p["a"], p["b"]): p for p in of if p["b"].startswith("before")} for kind, of in found.items()}
    same = across["score"]["own minilm", "before minilm"]
    assert (same["difference"], same["low"], same["high"], same["p_holm"]) == (0, 0, 0, None) and same["p"] == 1
    told = next(p for p in one.comparisons[task]["score"] if (p["a"], p["b"]) == ("neurosieve-base", "minilm"))
    pair = across["score"]["own neurosieve-base", "before minilm"]
    assert [pair[key] for key in ("low", "high", "p")] == pytest.approx(
        [told[k] for k in ("low", "high", "p")], abs=2e-6
    )
    least = next(p for p in one.comparisons[task]["n_minimal"] if (p["a"], p["b"]) == ("neurosieve-base", "minilm"))
    pair = across["n_minimal"]["own neurosieve-base", "before minilm"]
    assert {key: pair[key] for key in ("difference", "low", "high", "different")} == {
        key: least[key] for key in ("difference", "low", "high", "different")
    }
    assert len(across["score"]) == len(own) * len(before)
    reported = [(f"published {model}", {**row, "status": None, "protocol": "published"}) for model, row in rows.items()]
    strict = pairs.of_task(one, "x", task, [*own, *reported], [(one, [*before, *reported])])["pairs"]
    assert strict["score"] == found["score"]  # rows of other protocols are not paired
    others = [(slug, {**row, "draws": {"judge": "0" * 64, "test": "0" * 64}}) for slug, row in before]
    for unlike in (others, [(slug, {**row, "draws": None}) for slug, row in before]):
        unpaired = pairs.of_task(one, "x", task, own, [(one, unlike)])["pairs"]
        assert not any(p["b"].startswith("before") for of in unpaired.values() for p in of)
    broken = dataclasses.replace(one, draws={**one.draws, ("minilm", task): "score\n"})
    with pytest.raises(SiteError, match=r"draws/minilm__token-roles.csv: line 1: found 'score'"):
        pairs.of_task(broken, "x", task, own, [(one, before)])


def test_the_script_of_later_results_has_the_pairs_with_earlier_ones(made, tmp_path):
    shutil.copytree(made, tmp_path / "before")
    one, two = read_all([(made, OWN), (tmp_path / "before", OWN)])
    written = pages.render([one, two])
    scripts = {name: text for name, text in written.items() if name.startswith("compare/") and "token-roles" in name}
    assert len(scripts) == 2
    counts = []
    for text in scripts.values():
        found = json.loads(text[text.index("(") + 1 : text.rindex(")")])
        counts.append((len(found["rows"]), len(found["pairs"]["score"])))
    assert sorted(counts) == [(4, 6), (4, 6 + 16)]  # its own pairs, and of each row with each of the earlier results


def test_no_name_in_a_row_leads_to_a_file_elsewhere(made, tmp_path):
    folder = tmp_path / "leaderboard"
    shutil.copytree(made, folder)
    (tmp_path / "secret__token-roles.csv").write_text("of another folder\n")
    shutil.copyfile(folder / "rows/minilm__token-roles.json", folder / "rows/more.json")
    for name in ("../../secret", "x" * 300):
        row = json.loads((folder / "rows/more.json").read_text()) | {"model": name}
        (folder / "rows/more.json").write_text(json.dumps(row))
        found = read_results(folder)
        assert not any("another folder" in text for text in found.draws.values())
        assert len(found.draws) == len(found.rows)


def test_models_on_a_task_are_compared_by_their_numbers_of_neurons_too(files, made):
    (pair,) = [
        p
        for p in read_results(made).comparisons["token-roles"]["n_minimal"]
        if (p["a"], p["b"]) == ("neurosieve-base", "minilm")
    ]
    shown = [f"{pair[name]:+,d}".replace("-", "−") for name in ("difference", "low", "high")]
    page = files["tasks/default__token-roles.html"]
    assert f"{shown[0]} [{shown[1]}, {shown[2]}]{', apart' if pair['different'] else ''}" in page


def test_a_row_claims_what_it_may(files, made):
    rows = {(row["model"], row["task"]): row for row in read_results(made).rows}
    row = rows["neurosieve-base", "token-roles"]
    assert row["status"] == "supported" and row["n_minimal"]
    page = files["rows/default__neurosieve-base__token-roles.html"]
    assert f"{row['n_minimal']} of 3,456 neurons" in page
    twin = files["rows/default__neurosieve-base-untrained__token-roles.html"]
    assert "It claims nothing" in twin
    lines = {
        a["data-model"] + a["data-task"]: a.get("class", "")
        for t, a in Page(files["index.html"]).tags
        if t == "tr" and "data-task" in a
    }
    assert {key for key, css in lines.items() if "off" not in css} == {
        m + t for (m, t), row in rows.items() if row["status"] == "supported"
    }


def test_shared_ranks_are_marked():
    def row(model, score, twin=None):
        return {"model": model, "task": "t", "control_of": twin, "ranks": {"score": score}}

    rows = [row("a", 1), row("b", 2), row("c", 2), row("d", None), row("e", 1, "a")]
    found = board.shared_ranks(rows)
    assert [found[id(one)] for one in rows] == ["1", "2=", "2=", "–", "1"]


def test_picture_of_a_number_of_neurons():
    row = {"n_minimal": 10, "estimate": None, "n_minimal_low": 1, "n_minimal_high": 100, "n_neurons": 1000}
    row["status"] = "supported"
    assert board.strip(row, 1000) == {"x": "34.3", "left": "3.0", "width": "62.7", "end": "97.0", "css": "claim"}
    assert board.strip(row | {"n_minimal": None, "estimate": 10}, 1000)["css"] == "estimate"
    assert board.strip(row | {"n_minimal": None}, 1000) is None
    for status in ("no twin", None):  # None: of the protocol published, whose range is over seeds
        silent = row | {"status": status}
        assert board.strip(silent, 1000) == {
            "x": "34.3",
            "left": "34.3",
            "width": "0.0",
            "end": "97.0",
            "css": "estimate",
        }
        assert parts.minimal_text(silent) == "about 10 of 1,000 neurons, an estimate"


def test_reason_of_a_row_without_a_claim(made):
    row = {**read_results(made).rows[0], "n_minimal": None, "status": "supported", "confirmed": None}
    row |= {"notes": ["control row", "dev too small: h = 0.02 > margin/2 = 0.01; estimate 7 neurons"]}
    assert texts.answer(row).endswith("is claimed: dev too small: h = 0.02 > margin/2 = 0.01; estimate 7 neurons.")
    row |= {"status": "surface", "comparisons": {"judge": None, "test": None}}
    assert texts.status_title(row) == texts.STATUSES["surface"]


def test_older_results_make_every_page(hostile, files):
    rows = [name for name in hostile if name.startswith("rows/default_20__28_older")]
    assert len(rows) == 16
    assert "Task card" not in hostile[next(n for n in hostile if n.startswith("tasks/default_20__28_older"))]
    assert "Task card" in files["tasks/default__token-roles.html"]


def test_rows_of_the_published_protocol_stand_apart(made):
    one = read_results(made)
    row = {key: None for key in one.rows[0]} | {key: one.rows[0][key] for key in COLUMNS}
    row |= {name: {} for name in ("comparisons", "curves", "judge", "lenses", "minima", "neurons", "ranks", "test")}
    row |= {"notes": (), "status_notes": (), "clusters": (), "status": None, "protocol": "published", "evidence": None}
    files = pages.render([dataclasses.replace(one, published=[row])])
    page = files["rows/default__neurosieve-base__token-roles__published.html"]
    assert "makes no claim" in page
    assert 'data-protocol="published"' in files["index.html"] and "Protocol published" in files["benchmarks.html"]


def test_the_same_results_make_the_same_bytes(made, files, tmp_path):
    assert pages.render([read_results(made)]) == files
    written = make_site([made], tmp_path / "site")
    assert {path.relative_to(tmp_path / "site").as_posix() for path in written} == set(files)
    assert (tmp_path / "site" / "index.html").read_text(encoding="utf-8") == files["index.html"]
    assert str(made.parents[2]) not in files["benchmarks.html"]


def test_a_site_replaces_a_site_and_nothing_else(made, tmp_path):
    out = tmp_path / "site"
    make_site([made], out)
    before = {path.name for path in out.rglob("*")}
    make_site([made], out)
    assert {path.name for path in out.rglob("*")} == before
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("")
    with pytest.raises(SiteError, match="holds something other than a site"):
        make_site([made], out)
    (out / ".git" / "HEAD").unlink()  # was left alone
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("")
    with pytest.raises(SiteError, match="holds something other than a site"):
        make_site([made], home)
    with pytest.raises(SiteError, match="not there"):
        make_site([tmp_path / "nothing"], out)
    assert (out / "index.html").is_file() and (home / "thesis.txt").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "site"]


def test_rows_of_others_say_whose_they_are_and_whether_they_were_made_again(made, files):
    told = {}
    for reproduced, word in ((False, "claimed by &lt;b&gt;, not reproduced"), (True, "reproduced; by &lt;b&gt;")):
        found = pages.render([read_results(made, {"by": "<b>", "reproduced": reproduced})])
        rows = [name for name in found if name.startswith("rows/")]
        assert found["index.html"].count(word) == len(rows) and all(word in found[name] for name in rows)
        told |= {word: len(rows)}
    assert len(told) == 2 and not any(word in files["index.html"] for word in told)

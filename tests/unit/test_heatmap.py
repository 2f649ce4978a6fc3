"""Heat maps over code: which functions are shown, what a page says, and that nothing of the code becomes markup."""

from __future__ import annotations

import html.parser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from neurosieve.artifacts import Paths, Writer
from neurosieve.concepts.heatmap import choose, heat_maps, page, pieces, shade
from neurosieve.config import Params
from neurosieve.config.concepts import HeatMaps

EVIL = 'def f(x):\n\treturn "<script>alert(1)</script>" & x \u202e # </pre>\n'


def settings(**changes: Any) -> HeatMaps:
    return HeatMaps.model_validate(changes)


def test_shades_by_hand() -> None:
    found = [shade(z) for z in (0.0, 0.49, -0.49, 0.5, -0.5, 1.0, -1.99, 2.0, -3.0, 40.0, -40.0)]
    assert found == ["z", "z", "z", "p1", "n1", "p2", "n2", "p3", "n4", "p4", "n4"]


def test_functions_are_the_strongest_of_a_file_each_and_random_ones() -> None:
    of_input = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    z = np.array([0.1, -9.0, 8.0, 7.0, -6.0, 99.0, 0.5, 0.4])
    fits = np.array([True, True, True, True, False, True, True, True])  # the last one has no token
    files = ["a", "a", "b", "c", "d", "e", "f", "g"]
    drawn = set()
    for seed in range(30):
        found = list(choose(z, of_input, fits, files, settings(random=2), np.random.default_rng(seed)))
        assert found[:2] == [(0, "strongest"), (2, "strongest")]  # 1 is of the same file as 0, 4 does not fit
        assert [why for _, why in found[2:]] == ["random", "random"] and found[2] != found[3]
        drawn |= {number for number, _ in found[2:]}
    assert drawn == {1, 3, 5, 6}


def test_pieces_are_the_text_and_carry_the_values() -> None:
    spans = [[4, 5, 2.5], [6, 7, -0.2], [6, 8, 1.0], [11, 17, -3.25]]
    found = list(pieces(EVIL, spans))
    assert "".join(text for text, _, _ in found) == EVIL.replace("\t", "    ").replace("\u202e", "\\u202e")
    assert [(t, k) for t, k, _ in found if k] == [("f", "p3"), ("x", "z"), ("return", "n4")]
    assert ("return", "n4", "z = -3.25") in found
    assert list(pieces("ab", [])) == [("ab", "", "")]
    assert list(pieces("ab", [[0, 2, 1.0]])) == [("ab", "p2", "z = +1.00")]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "neuron": 3, "name": "m/0/3", "concept": None, "why": "strongest", "function": "f", "file": "p/a.py",
        "package": "p 1.0", "licence": "MIT", "text": EVIL, "spans": [[4, 5, 2.5], [6, 7, -0.2], [18, 44, 3.5]],
    } | changes  # fmt: skip


class Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.code: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside |= tag == "code"
        if tag == "code":
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "code"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.code[-1] += data


def test_no_code_becomes_markup() -> None:
    names = {key: f"<img src=x onerror={key}>" for key in ("name", "concept", "function", "file", "package", "licence")}
    text = page([row(), row(neuron=4, **names)], "<b>m</b>", "t&t", "<script>")
    read = Reader()
    read.feed(text)
    tags = [tag for tag, _ in read.tags]
    assert not {"script", "img", "b><"} & set(tags) and tags.count("pre") == 2 == tags.count("code")
    assert "<script>" not in text and "<img" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert read.code == [EVIL.replace("\t", "    ").replace("\u202e", "\\u202e")] * 2
    assert not any(key.startswith("on") or key in ("src", "style") for _, attrs in read.tags for key in attrs)
    assert [attrs["title"] for tag, attrs in read.tags if tag == "span" and "title" in attrs][:3] == [
        "z = +2.50", "z = -0.20", "z = +3.50",
    ]  # fmt: skip
    policy = next(attrs["content"] for _, attrs in read.tags if "http-equiv" in attrs)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_no_name_turns_the_direction_of_a_text() -> None:
    keys = ("name", "concept", "function", "file", "package", "licence")
    text = page([row(**dict.fromkeys(keys, "a\u202eb\x1b"))], "m\u202e", "t\u2066", "d\u202e")
    assert not {"\u202e", "\u2066", "\x1b"} & set(text)
    assert text.count(r"a\u202eb\x1b") == len(keys) + 2 and r"m\u202e, t\u2066" in text  # name and concept twice


def test_a_page_says_whose_code_it_is_and_is_the_same_every_time() -> None:
    rows = [row(), row(licence=None, why="random", package="own"), row(neuron=9, name="m/1/1", concept="NUMBER")]
    text = page(rows, "m", "t")
    assert text == page(rows, "m", "t")
    assert "p 1.0" in text and "licence MIT" in text and "own,\nno licence stated" in text
    assert "named NUMBER" in text and text.count("<figure>") == 3 and text.count("<h2") == 2
    assert "prefers-color-scheme: dark" in text and "z from -0.2 to +3.5" in text
    assert "No neuron of this row is shown" in page([], "m", "t")


def test_rows_come_from_judge_with_package_and_licence(tmp_path: Path) -> None:
    raw = yaml.safe_load(Path("tests/data/tiny.yaml").read_text().replace("1e-4", "0.0001"))
    raw["concepts"]["heat_maps"] = {"neurons": 1, "strongest": 1, "random": 1, "characters": 30, "lines": 3}
    corpus = raw["prepare"]["tasks"]["token-roles"]["corpus"]
    wheel = {"name": "rich", "version": "13.9.4", "licence": "MIT", "sha256": "0" * 64}
    raw["prepare"]["corpora"][corpus] = {"wheels": [wheel]}
    params, paths = Params.model_validate(raw), Paths("tiny", tmp_path)
    texts = ["a + b", "c\nd", "e" * 31, "f\n\n\ng"]
    with Writer(paths.task("token-roles") / "judge", "prepare", {}) as out:
        entries = [{"id": i, "text": t, "file": f"f{i}", "package": "rich", "name": "g"} for i, t in enumerate(texts)]
        out.jsonl("inputs.jsonl", entries)
        spans = [(0, 4, 5), (0, 0, 1), (1, 2, 3), (2, 0, 31), (3, 0, 1)]
        out.jsonl("rows.jsonl", [{"input": i, "start": s, "end": e} for i, s, e in spans])
    with Writer(paths.task("token-roles") / "card", "prepare", {}) as out:
        out.json("card.json", {"licences": {"rich": "MIT"}})
    z = np.array([[2.0, 0], [-1.0, 0], [1.5, 0], [9.0, 0], [9.0, 0]])
    described = [{"neuron": n, "name": f"m/0/{n}", "concept": "A"} for n in (5, 6)]
    found = heat_maps(params, paths, "m", "token-roles", described, z)
    assert [(r["neuron"], r["why"], r["text"]) for r in found] == [(5, "strongest", "a + b"), (5, "random", "c\nd")]
    assert found[0]["spans"] == [[0, 1, -1.0], [4, 5, 2.0]]
    assert (found[0]["package"], found[0]["licence"], found[0]["file"]) == ("rich 13.9.4", "MIT", "f0")
    assert heat_maps(params, paths, "m", "token-roles", described, None) == []
    off = params.model_copy(update={"concepts": params.concepts.model_copy(update={"heat_maps": None})})
    assert heat_maps(off, paths, "m", "token-roles", described, z) == []


@pytest.mark.parametrize("bound", ["characters", "lines"])
def test_bounds_must_be_positive(bound: str) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        settings(**{bound: 0})

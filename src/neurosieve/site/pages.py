"""The pages of the site: results to every file of it, by its path. Reads templates/, assets/ and vendor/ beside it;
writes no files.

| file | what |
|---|---|
| index.html | the table of all rows |
| rows/<row>.html | a row: answer, figures, charts, neurons, tests, settings |
| models/<model>.html, tasks/<task>.html | the rows of a model, of a task |
| benchmarks.html, reading.html | facts of the benchmarks, what the terms mean |
| compare.html, compare/<task>.js | two rows or models side by side, and what it needs of each task |
| table.csv, table.json | all columns of all rows, after those of SOURCE |
| assets/ | style, scripts, the bundle that draws |

Nothing of a page is fetched from anywhere else: its content security policy allows the site's own files alone, and no
script or style inside the page. All text is escaped by the template engine; what scripts read is escaped json.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from neurosieve.artifacts import csv_lines, dump_json
from neurosieve.leaderboard import measures
from neurosieve.leaderboard.table import COLUMNS, cell
from neurosieve.site import board, cards, charts, pairs, texts
from neurosieve.site.read import Results

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
ASSETS = {
    "assets/site.css": "assets/site.css",
    "assets/site.js": "assets/site.js",
    "assets/compare.js": "assets/compare.js",
    "assets/charts.js": "assets/charts.js",
    "assets/vega.min.js": "vendor/vega.min.js",
    "assets/vega-LICENSES.txt": "vendor/LICENSES",
}
LONGEST = 120  # characters of a file's name; a longer one is cut and told apart by a hash
# The command that makes a benchmark of the repository, by its name; of another one only its owner knows the file.
# Not by the name of the file that was given: the same params under another name make the same bytes.
COMMANDS = {
    "default": "make benchmark",
    **{
        name: f"make benchmark PARAMS=presets/{name}.yaml"
        for name in ("published", "real-data", "twins", "concepts", "training")
    },
}
OWN_COMMAND = "make benchmark PARAMS=<your params file>"
PACK_COMMAND = "neurosieve run --params <params.yaml of the pack>"

# What table.csv and table.json have beside the columns of a leaderboard: rows of several results lie in them.
SOURCE = {
    "results": "the results that the row is of, as this site calls them",
    "submitted_by": "who handed the row in; empty where it was computed here",
    "reproduced": "of a row that was handed in, whether it was made again here",
}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """How one Results is called in this site: its name, told apart where there are several, and its place."""

    name: str
    version: Any
    id: str

    @property
    def file(self) -> str:
        return f"benchmarks.html#{self.id}"


@dataclass(frozen=True)
class Place:
    """A row, where it comes from and where it is shown."""

    row: Row
    results: Results
    group: Group
    slug: str
    line: board.Line


def slug(*names: str) -> str:
    """A file name of names: distinct for distinct ones, also where letters' case does not count."""
    kept = ["".join(c if c.isascii() and (c.isalnum() or c in "-.") else f"_{ord(c):x}_" for c in n) for n in names]
    text = "__".join(kept)
    # capitals are told apart by the hash: on some disks A.html is a.html
    if len(text) > LONGEST or text != text.lower() or text.startswith((".", "-")):
        text = f"{text[:LONGEST].lstrip('.-')}-{hashlib.sha256(repr(names).encode()).hexdigest()[:8]}"
    return text


def script_json(value: Any) -> Markup:
    """Json to stand in a script element: no <, > or & in it, so nothing of it ends the element."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  (escaped just now)


def render(results: Sequence[Results]) -> dict[str, str | bytes]:
    """Every file of the site, by its path in it; the same results give the same bytes."""
    groups = _groups(results)
    places = [
        place for one, group in zip(results, groups, strict=True) for place in _places(one, group, _most(results))
    ]
    site = _Site(groups)
    files: dict[str, str | bytes] = {name: (HERE / source).read_bytes() for name, source in ASSETS.items()}
    files["index.html"] = _index(site, places)
    files["reading.html"] = _reading(site, places)
    files["benchmarks.html"] = _benchmarks(site, results, places)
    files["compare.html"] = _compare(site, places)
    for place in places:
        files[_row_file(place.slug)] = _row(site, place)
    for number, (one, group) in enumerate(zip(results, groups, strict=True)):
        own = [place for place in places if place.results is one]
        for task in _names(own, "task"):
            members = [place for place in own if place.row["task"] == task]
            files[_task_file(group, task)] = _task(site, one, group, task, members)
            others = [place for place in places if place.row["task"] == task]
            before = [(other, [place for place in others if place.results is other]) for other in results[:number]]
            files[_pairs_file(group, task)] = _pairs(one, group, task, members, before)
        for model in _names(own, "model"):
            members = [place for place in own if place.row["model"] == model]
            files[_model_file(group, model)] = _model(site, one, group, model, members)
    table = [_source(place) | {name: place.row.get(name) for name in COLUMNS} for place in places]
    files["table.csv"] = "".join(csv_lines([[*SOURCE, *COLUMNS], *(list(map(cell, line.values())) for line in table)]))
    files["table.json"] = dump_json(table)
    return files


class _Site:
    """The template engine, with what every page has."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._env = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
            undefined=StrictUndefined,
        )  # fmt: skip
        self._env.filters["script_json"] = script_json
        self._env.globals.update(
            policy=POLICY,
            groups=groups,
            nav=(
                ("index.html", "Leaderboard"), ("compare.html", "Compare"), ("benchmarks.html", "Benchmarks"),
                ("reading.html", "Guide"),
            ),
        )  # fmt: skip

    def page(self, template: str, file: str, **values: Any) -> str:
        """Text of a page that lies at ``file``."""
        found = self._env.get_template(template)
        return found.render(root="../" * file.count("/"), here=file, **values)


def _groups(results: Sequence[Results]) -> list[Group]:
    """Names by which the results are told apart: of the benchmark, with the folder where several have one name."""
    times = Counter(one.name for one in results)
    named = [one.name if times[one.name] == 1 else f"{one.name} ({one.folder})" for one in results]
    return [Group(name, one.facts["version"], slug(name)) for name, one in zip(named, results, strict=True)]


def _row_file(name: str) -> str:
    return f"rows/{name}.html"


def _task_file(group: Group, task: str) -> str:
    return f"tasks/{slug(group.name, task)}.html"


def _model_file(group: Group, model: str) -> str:
    return f"models/{slug(group.name, model)}.html"


def _pairs_file(group: Group, task: str) -> str:
    return f"compare/{slug(group.name, task)}.js"


def _names(places: Sequence[Place], key: str) -> list[str]:
    return list(dict.fromkeys(place.row[key] for place in places))


def _most(results: Sequence[Results]) -> int:
    """Neurons of the largest model of the site, at which the pictures of the table end."""
    return max(row["n_neurons"] or 1 for one in results for row in (*one.rows, *one.published))


def _places(one: Results, group: Group, most: int) -> list[Place]:
    """Rows task by task, within one trained models, twins, other protocols; each as the results order them."""
    rows = [*one.rows, *one.published]
    ranks = board.shared_ranks(rows)
    tasks = list(dict.fromkeys([*one.facts.get("tasks", ()), *(row["task"] for row in rows)]))
    places: list[Place] = []
    for task in tasks:
        members = [row for row in rows if row["task"] == task]
        members.sort(key=lambda row: (row["status"] is None, texts.is_twin(row)))
        for i, row in enumerate(members):
            names = [group.name, row["model"], row["task"]]
            name = slug(*names if row["status"] is not None else [*names, row["protocol"]])
            file, rank = _task_file(group, task), ranks[id(row)]
            line = board.line(row, name, group.name, file, rank, most, i == 0, texts.origin(one.by, one.reproduced))
            places.append(Place(row, one, group, name, line))
    return places


def _source(place: Place) -> dict[str, Any]:
    """The cells of SOURCE."""
    one = place.results
    return dict(zip(SOURCE, (place.group.name, one.by or None, one.reproduced), strict=True))


def _index(site: _Site, places: Sequence[Place]) -> str:
    lines = [place.line for place in places]
    rows = [place.row for place in places]
    good = [row for row in rows if texts.supported(row)]

    def values(key: str) -> list[str]:
        return list(dict.fromkeys(filter(None, (getattr(line, key) for line in lines))))

    wanted = (
        ("task", "Task", "task"), ("model", "Model", "model"), ("benchmark", "Benchmark", "group"),
        ("protocol", "Protocol", "protocol"), ("status", "Status", "status"), ("evidence", "Evidence", "evidence"),
        ("kind", "Rows", "kind"),
    )  # fmt: skip
    filters = [(name, text, sorted(found) if name in ("task", "model") else found)
               for name, text, key in wanted if len(found := values(key)) > 1]  # fmt: skip
    titles = {place.results.facts["title"] for place in places}
    single = len(titles) == 1
    counts = [
        (len({row["model"] for row in rows if not texts.is_twin(row)}), "models"),
        (len({row["task"] for row in rows}), "tasks"),
        (len(rows), "rows"),
        (len(good), "supported"),
        (sum(row["n_minimal"] is not None for row in good), "with a minimal subset"),
    ]
    claimed = [place for place in places if place.results.reproduced is False]
    notes = [
        f"{place.group.name}: {_numerics(place.results)}"
        for place in {id(place.results): place for place in places if place.results.facts.get("native")}.values()
    ]
    if claimed:
        notes.append(
            f"{len(claimed)} of these rows were handed in and not made again here; they are marked as claimed, and the "
            "overview leaves them out."
        )
    return site.page(
        "index.html.j2",
        "index.html",
        title=titles.pop() if single else "How many neurons does a task need?",
        counts=counts,
        notes=notes,
        filters=filters,
        lines=lines,
        columns=board.columns(lines),
        charts=charts.overview([place.row for place in places if place.results.reproduced is not False]),
    )


def _row(site: _Site, place: Place) -> str:
    row, one, group = place.row, place.results, place.group
    return site.page(
        "row.html.j2",
        _row_file(place.slug),
        row=row,
        group=group,
        line=place.line,
        task_file=_task_file(group, row["task"]),
        model_file=_model_file(group, row["model"]),
        answer=texts.answer(row),
        keys=texts.key_figures(row, place.line.cells["rank"].text),
        notes=[*filter(None, [texts.origin(one.by, one.reproduced)]), *place.line.notes],
        charts=charts.of_row(row, one),
        neurons=cards.neurons(row),
        lenses=cards.lenses(row),
        tables=cards.row_tables(row),
        settings=cards.settings(row, one.facts, one.manifest.get("params") or {}, one.by),
    )


def _task(site: _Site, one: Results, group: Group, task: str, members: Sequence[Place]) -> str:
    rows = [place.row for place in members]
    card = one.cards.get(task)
    trained = [row["model"] for row in rows if not texts.is_twin(row)]
    tables = [cards.pair_table(task, one.comparisons.get(task, {}), trained), *cards.task_tables(rows)]
    return site.page(
        "rows.html.j2",
        _task_file(group, task),
        kind="task",
        name=task,
        group=group,
        text=card["description"] if card else "",
        links=[],
        lines=[place.line for place in members],
        columns=[head for head in board.columns([place.line for place in members]) if head.key != "task"],
        charts=charts.of_task(task, rows, one),
        tables=[table for table in tables if table["lines"]],
        card=cards.task_card(card) if card else None,
    )


def _model(site: _Site, one: Results, group: Group, model: str, members: Sequence[Place]) -> str:
    rows = [place.row for place in members]
    first = rows[0]
    twin_of = first["control_of"]
    size = f"{first['layers']} layers of {measures.count(first['width'])} neurons" if first["layers"] else ""
    links = [(f"../compare.html#a={slug(group.name, model)}", "Compare with another model")]
    if twin_of in {row["model"] for row in one.rows}:
        links.append((f"../{_model_file(group, twin_of)}", f"{twin_of}, of which this is the untrained twin"))
    links += [
        (f"../{_model_file(group, name)}", f"{name}, its untrained twin")
        for name in dict.fromkeys(row["model"] for row in one.rows if row["control_of"] == model)
    ]
    tables = measures.transfer_tables({model: one.transfer[model]} if model in one.transfer else {})
    for table in tables:
        table["title"] = "Transfer: the neurons of one task, used for another"
    tables += measures.dissociation_tables({model: one.effects[model]} if model in one.effects else {})
    return site.page(
        "rows.html.j2",
        _model_file(group, model),
        kind="model",
        name=model,
        group=group,
        text="; ".join(filter(None, [size, first["model_note"]])),
        links=links,
        lines=[place.line for place in members],
        columns=[head for head in board.columns([place.line for place in members]) if head.key != "model"],
        charts=charts.of_model(model, rows, one),
        tables=tables,
        card=None,
    )


def _benchmarks(site: _Site, results: Sequence[Results], places: Sequence[Place]) -> str:
    blocks = []
    for one in results:
        own = [place for place in places if place.results is one]
        rows, group = [place.row for place in own], own[0].group
        good = [row for row in rows if texts.supported(row)]
        published = measures.published_table(one.published)
        blocks.append(
            {
                "group": group,
                "title": one.facts["title"],
                "origin": texts.origin(one.by, one.reproduced),
                "rows": len(rows),
                "supported": len(good),
                "sized": sum(row["n_minimal"] is not None for row in good),
                "tasks": [(_task_file(group, task), task) for task in _names(own, "task")],
                "models": [(_model_file(group, model), model) for model in _names(own, "model")],
                "facts": [(name, str(one.facts[key])) for key, name in _FACTS if one.facts.get(key) is not None],
                "tables": [table for table in (published, one.figures) if table],
                "command": PACK_COMMAND if one.by else COMMANDS.get(one.name, OWN_COMMAND),
                "numerics": _numerics(one),
                "protocol": one.facts["protocol"],
            }
        )
    return site.page("benchmarks.html.j2", "benchmarks.html", blocks=blocks)


_FACTS = (("seed", "Seed"), ("random_draws", "Random draws"))


def _numerics(one: Results) -> str:
    kind = one.facts.get("numerics") or (one.manifest.get("params") or {}).get("numerics")
    if one.facts.get("native"):
        return (
            f"Numerics: portable was asked for and did not hold ({', '.join(one.facts['native'])}). Results on another "
            "machine agree within a stated tolerance, not bit by bit."
        )
    if kind == "portable":
        return (
            "Numerics: portable. With the pinned libraries every x86-64 machine with AVX2 and FMA computes the same "
            "bits; other hardware is verified within a stated tolerance."
        )
    if kind == "fast":
        return "Numerics: fast. Results on another machine agree within a stated tolerance, not bit by bit."
    return ""


def _reading(site: _Site, places: Sequence[Place]) -> str:
    return site.page(
        "reading.html.j2",
        "reading.html",
        statuses=list(texts.STATUSES.items()),
        evidence=[(name, meaning) for name, (_, meaning) in texts.EVIDENCE.items()],
        columns=[*SOURCE.items(), *COLUMNS.items()],
    )


def _compare(site: _Site, places: Sequence[Place]) -> str:
    several = len({place.group for place in places}) > 1
    rows: dict[str, list[tuple[str, str, str]]] = {}
    models: dict[Group, dict[str, dict[str, str]]] = {}  # of a model the files of its rows, by their slugs
    for place in places:
        row, group = place.row, place.group
        file = _pairs_file(group, row["task"])
        start = f"{group.name}: " if several else ""  # where a choice is closed its group is not seen
        other = "" if row["status"] is not None else f" ({row['protocol']})"
        text = f"{start}{row['model']} · {row['task']}{other}"
        rows.setdefault(f"{group.name}: {row['task']}", []).append((place.slug, file, text))
        if not other:  # of a model one row a task, as in the comparisons of a leaderboard
            models.setdefault(group, {}).setdefault(row["model"], {})[place.slug] = file
    choices = [
        (f"{group.name}: models", [
            (slug(group.name, model), " ".join(of.values()), f"{group.name}: {model}" if several else model)
            for model, of in own.items()
        ])
        for group, own in models.items()
    ]  # fmt: skip
    return site.page(
        "compare.html.j2",
        "compare.html",
        choices=[*choices, *rows.items()],
        given={
            "pictures": pairs.pictures(),
            "models": {slug(group.name, m): list(of) for group, own in models.items() for m, of in own.items()},
            **pairs.labels(),
        },
    )


def _pairs(
    one: Results,
    group: Group,
    task: str,
    members: Sequence[Place],
    before: Sequence[tuple[Results, Sequence[Place]]],
) -> str:
    """A script that hands over what compare.html needs of the rows of a task: a page on disk cannot fetch json. Pairs
    with rows of results that came before, for the script of these stands in the page too when such a pair is chosen."""

    def rows(of: Sequence[Place]) -> list[tuple[str, Row]]:
        return [(place.slug, place.row) for place in of]

    found = pairs.of_task(one, group.name, task, rows(members), [(other, rows(of)) for other, of in before])
    return f"neurosieveCompare.add({script_json(found)});\n"

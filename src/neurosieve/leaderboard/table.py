"""The leaderboard as a table: columns, cells, csv and the terminal's text. Pure functions; reads and writes no files.

A row is a dict that has at least the keys of COLUMNS (see collect.py); None is a missing cell. Missing is never
averaged, and rows of different benchmark versions are never put into one table.
"""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from neurosieve.artifacts import csv_lines
from neurosieve.leaderboard.evidence import NECESSARY, SHORT
from neurosieve.leaderboard.ranks import better_scores
from neurosieve.probes.status import FAILS

# Order and spelling of leaderboard.csv, with the meaning that the page shows.
COLUMNS: dict[str, str] = {
    "benchmark": "name of the benchmark, one params file",
    "version": "version of the benchmark; raised whenever a score may change",
    "protocol": "rules of the measurement",
    "model": "the model whose neurons are counted",
    "task": "the task",
    "training": "of the model for the task, before its activations were taken: frozen (as it came), fine-tuned here, "
    "fine-tuned folder (by others), untrained, or trained from scratch (an untrained twin, here)",
    "status": "whether the row may speak of redundancy, decided on judge: supported, else what it is not above",
    "metric": "primary metric of the task, in which every score here is given",
    "n_neurons": "neurons of the model: layers (of hidden states with the embedding layer) times width",
    "oracle": "test score of the probe on all neurons",
    "oracle_low": "lower end of its 5-95 % interval, bootstrap over files",
    "oracle_high": "upper end of its 5-95 % interval",
    "oracle_spearman": "its Spearman correlation with the target on test, where a number is predicted (metric r2)",
    "reference": "test score of what subsets are compared with, the best on tune of all neurons, each layer, the first "
    "layers and the sets of every contender",
    "majority": "test score of the constant answer that scores best there: a class, for a number the mean",
    "surface": "test score of the best surface baseline, which reads text and no model",
    "surface_name": "which surface baseline that is, chosen on tune",
    "untrained": "test score of the untrained twin of the model (of several the one best on tune), at the best of its "
    "layers",
    "ranking": "contender that found the minimal subset: a ranking (one order of all neurons) or a search (the best "
    "set at every size)",
    "n_minimal": "fewest neurons that are, on judge, within the margin of the reference and above the best baseline, "
    "shown by one-sided 95 % bounds, by themselves and on an increasing curve fitted to all tested sizes",
    "n_least": "fewest neurons that this curve does not rule out by its upper bounds: the smallest number that is "
    "truly within the margin lies between n_least and n_minimal (90 %)",
    "n_minimal_low": "where another judge of the same size would put n_minimal, lower end (5-95 %)",
    "n_minimal_high": "upper end",
    "n_failing": "largest tested size that fails; above n_minimal where the curve does not increase",
    "n_bound": "no set of fewer neurons, searched or not, reaches on train the objective of the minimal subset at its "
    "penalty; says nothing of accuracy; empty without a minimum, and where the contender is a ranking",
    "bound_factor": "n_minimal / n_bound",
    "share": "n_minimal / n_neurons",
    "layers_used": "layers in which the subset lies; 0 is the embedding layer",
    "subset_test": "test score of the minimal subset, or of its estimate where no minimum is claimed",
    "random_test": "test score of as many neurons drawn at random, mean over draws",
    "bottom_test": "test score of as many neurons from the end of the first of subsets.rankings that ranks for the "
    "task",
    "confirmed": "whether test confirms a supported row: status after Holm, and the subset within the margin",
    "evidence": "how far the evidence goes: none, encoded, encoded beyond baselines, then what the model itself shows: "
    "necessary, necessary and sufficient, specific; each with all before it, as far as it was measured",
    "dev_half_width": "h: half-width of the interval of a random half of the neurons; above margin/2 no claim",
    "best_ranking": "contender that is best on tune, mean over log sizes",
    "best_n_minimal": "its minimal subset",
    "lca_n_minimal": "the minimal subset along lca, the ranking of the published method, where it was walked",
    "lca_n_minimal_low": "where another judge of the same size would put it, lower end (5-95 %)",
    "lca_n_minimal_high": "upper end",
    "note": "what else must be known to read the row",
    # figures of the publication (published_figures.py): empty where the params file names none for the row
    "published_model": "model of the publication whose figures stand in the next columns",
    "published_metric": "metric in which they are given, on other data than here: only shapes compare",
    "published_score": "published score of all neurons",
    "published_n_neurons": "neurons of the published subset with the best score, of the steps LS+CC+LCA and LCA",
    "published_subset_score": "published score of that subset",
}
FIGURES = tuple(name for name in COLUMNS if name.startswith("published_"))
TERMINAL_WIDTH = 120
CONTROL_NOTE = "control row"


FAILED = {status: opponent for opponent, status in FAILS.items()}


class TableError(ValueError):
    """Rows that do not make one table."""


def build_table(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Cells of COLUMNS for each row, in the given order.

    Raises
    ------
    TableError
        for a row that lacks a column, for a row given twice, and for rows of several benchmark versions.
    """
    table: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for i, row in enumerate(rows):
        missing = [name for name in COLUMNS if name not in row and name not in FIGURES]
        if missing:
            raise TableError(f"row {i}: no {', '.join(missing)}; write None where a figure is missing")
        key = tuple(row[name] for name in ("benchmark", "version", "protocol", "model", "task"))
        if key in seen:
            raise TableError(f"row {i}: {key[3]} on {key[4]} is there twice; keep one")
        seen.add(key)
        table.append({name: row.get(name) if name in FIGURES else row[name] for name in COLUMNS})
    kinds = sorted({(str(r["benchmark"]), str(r["version"])) for r in table})
    if len(kinds) > 1:
        raise TableError(f"rows of several benchmarks or versions: {kinds}; make one table of each")
    return table


def cell(value: Any) -> str:
    """Text of a csv cell: empty for None, true/false, four decimals for a float."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TableError(f"found {value}; write None where a figure is missing")
        return f"{value:.4f}"
    return str(value)


def to_csv(table: Sequence[Mapping[str, Any]]) -> str:
    """leaderboard.csv: a header and a line per row, line feed at the end of each; no cell is run by a spreadsheet."""
    return "".join(csv_lines([list(COLUMNS), *([cell(row[name]) for name in COLUMNS] for row in table)]))


def read_csv(text: str) -> list[dict[str, str]]:
    """Cells of a leaderboard.csv as text."""
    return list(csv.DictReader(io.StringIO(text)))


def changed_cells(committed: str, now: str) -> list[dict[str, str]]:
    """Cells in which two leaderboard.csv differ: row (model/task), column, committed, now; "(none)" for no row."""

    def name_of(row: Mapping[str, str]) -> str:
        other = "" if row["protocol"] == "strict" else f" ({row['protocol']})"
        return f"{row['model']}/{row['task']}{other}"

    old = {name_of(r): r for r in read_csv(committed)}
    new = {name_of(r): r for r in read_csv(now)}
    columns = list(COLUMNS) + sorted({c for r in old.values() for c in r} - set(COLUMNS))
    changes = []
    for name in list(new) + [n for n in old if n not in new]:
        if name not in new or name not in old:
            there, gone = "(a row)", "(none)"
            changes.append(
                {
                    "row": name,
                    "column": "(all)",
                    "committed": there if name in old else gone,
                    "now": there if name in new else gone,
                }
            )
            continue
        for column in columns:
            a, b = old[name].get(column, "(none)"), new[name].get(column, "(none)")
            if a != b:
                changes.append({"row": name, "column": column, "committed": a, "now": b})
    return changes


def row_file(model: str, task: str) -> str:
    """Where the row lies, beside leaderboard.csv."""
    return f"rows/{model}__{task}.json"


def _not_above(row: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]] | None:
    """The opponent that the row's status names, what it is called, and the comparison with it on judge.

    None where the status names none, or the row was not compared with it.
    """
    opponent = FAILED.get(row["status"], "")
    against = (row["comparisons"]["judge"] or {}).get(opponent)
    if against is None:
        return None
    majority = "the mean" if row["metric"] == "r2" else "the majority class"
    twin = f"the best of {len(against['twins'])} untrained twins" if "twins" in against else "the untrained twin"
    names = {"majority": majority, "surface": row["surface_name"], "untrained": twin}
    return opponent, names[opponent], against


def not_above(row: Mapping[str, Any]) -> str | None:
    """Why the row is not supported, where its status names an opponent that it was compared with on judge."""
    if (found := _not_above(row)) is None:
        return None
    _, name, against = found
    return f"not above {name} on judge: difference {against['difference']:+.4f}, lower bound {against['lower']:+.4f}"


def hidden_reason(row: Mapping[str, Any]) -> str | None:
    """Why the row is not supported, where its test scores would say that it is: above the opponent of its status.

    With the size of judge, for few rows (or few files, whose rows are alike) are the usual cause.
    """
    if (found := _not_above(row)) is None:
        return None
    opponent, name, against = found
    score, other, sample = row["oracle"], row[opponent], row["sample"]
    if score is None or other is None or round(score, 3) <= round(other, 3):
        return None
    p = against["p"] if against["p_holm"] is None else against["p_holm"]
    return (
        f"not above {name} ({other:.3f} on test) on judge: {against['difference']:+.3f}, lower bound "
        f"{against['lower']:+.3f}, p {p:.3f}; {sample['rows']:,} rows, {sample['files']:,} files"
    )


def best_baseline(row: Mapping[str, Any]) -> tuple[str, float] | None:
    """Name and test score of the best of majority, surface and untrained."""
    named = [(name, row[name]) for name in ("majority", "surface", "untrained") if row[name] is not None]
    return max(named, key=lambda pair: pair[1]) if named else None


def format_table(rows: Sequence[Mapping[str, Any]], comparisons: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The leaderboard for a terminal of 120 columns: a block per task, its trained models as lines, its twins as one.

    Rows are those of collect.py, ``comparisons`` is comparisons.json, by which the trained models of a task are
    compared where there are several. A line below a row says why it is not supported where its figures do not. The
    bound is shown where it fits beside whole names.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    trained = [row for row in rows if row["control_of"] is None]
    ranked = len(trained) > len({row["task"] for row in trained})
    bounded = any(row["n_bound"] for row in trained)
    lines = _lines(trained, bounded, ranked)
    widths = _widths(lines)
    if bounded and sum(widths) + len(widths) - 1 > TERMINAL_WIDTH:
        bounded = False
        lines = _lines(trained, bounded, ranked)
        widths = _widths(lines)
    # only long names can make it too wide; the csv has them whole
    excess = max(0, sum(widths) + len(widths) - 1 - TERMINAL_WIDTH)
    widths[0] -= min(excess, max(0, widths[0] - 12))
    left = [lines[0].index(name) for name in ("model", "status", "neurons")]

    def text(line: Sequence[str]) -> str:
        cells = [c if len(c) <= w else c[: w - 2] + ".." for c, w in zip(line, widths, strict=True)]
        return " ".join(
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    told = [text(lines[0]), " ".join("-" * w for w in widths)]
    body = dict(zip(map(id, trained), lines[1:], strict=True))
    for task in tasks:
        members = [row for row in rows if row["task"] == task]
        told += _wrapped(_task_line(members[0]), 0)
        for row in members:
            if row["control_of"] is None:
                told.append(text(body[id(row)]))
                told += _wrapped(hidden_reason(row) or "", 6)
        twins = [f"{r['model']} {_score(r['oracle'])} ({r['status']})" for r in members if r["control_of"] is not None]
        told += _wrapped(f"twins: {', '.join(twins)}" if twins else "", 2)
        if comparisons is not None and ranked:
            told += _wrapped(_compared(comparisons[task]["score"], members), 2)
    legend = [
        "score: all neurons, test; untrained: of the twin; neurons: minimal subset [on another judge, 5-95 %], ! not "
        "confirmed on test, ~ no claim; subset, random: test."
    ]
    if ranked:
        legend.append(
            "rank: 1 + the number of models shown to be better, by score (Holm over the pairs of a task) and by "
            "neurons (disjoint intervals)."
        )
    if any(map(_was_asked, trained)):
        legend.append(
            "used: without the subset the model predicts worse than without random neurons (nec), with it alone better "
            "than with these (suf), and tokens of the task are hurt more than others (spec)."
        )
    if bounded:
        legend.append(">=: no set of fewer neurons fits train as well at that penalty; not a bound on accuracy.")
    return "\n".join([*told, *(line for words in legend for line in _wrapped(words, 0))]) + "\n"


def _wrapped(text: str, indent: int) -> list[str]:
    """Lines of at most TERMINAL_WIDTH; none of an empty text."""
    return textwrap.wrap(
        text,
        TERMINAL_WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if indent else 0),
        break_on_hyphens=False,
    )


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _task_line(row: Mapping[str, Any]) -> str:
    """A task, its metric and what it gives away without a model: the same in all its rows."""
    surface = "" if row["surface"] is None else f", surface {_score(row['surface'])} ({row['surface_name']})"
    return f"{row['task']}: {row['metric']}, majority {_score(row['majority'])}{surface}"


def _compared(pairs: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """Every pair of trained models of a task: which scores more, by how much, and its interval."""
    trained = {row["model"] for row in rows if row["control_of"] is None}
    told = []
    for pair in pairs:
        if not trained.issuperset((pair["a"], pair["b"])):
            continue
        a, b, d, low, high = (pair[key] for key in ("a", "b", "difference", "low", "high"))
        won = better_scores([pair], rows[0]["confidence"])
        if won and won[0] == (b, a):
            a, b, d, low, high = b, a, -d, -high, -low
        told.append(f"{a} {'above' if won else 'not told from'} {b} ({d:+.3f} [{low:+.3f}, {high:+.3f}])")
    return "; ".join(told)


def _lines(rows: Sequence[Mapping[str, Any]], bounded: bool, ranked: bool) -> list[tuple[str, ...]]:
    """Cells of the terminal's table, the heads first; ``bounded``: with n_bound beside the number of neurons;
    ``ranked``: with the ranks of score and neurons. With what is used where the model of a row was asked."""
    used = any(_was_asked(row) for row in rows)

    def rank(row: Mapping[str, Any] | None, name: str) -> tuple[str, ...]:
        if not ranked:
            return ()
        return ("rank" if row is None else str(row["ranks"][name] or "-"),)

    lines: list[tuple[str, ...]] = [
        (
            "model", "status", "score", *rank(None, "score"), "untrained", "neurons", *rank(None, "n_minimal"), "of",
            "share", "subset", "random", *(["used"] if used else []),
        )
    ]  # fmt: skip
    for row in rows:
        minimal = "-"
        if row["n_minimal"] is not None:
            minimal = str(row["n_minimal"])
            if row["n_minimal_low"] is not None:
                minimal += f" [{row['n_minimal_low']}-{row['n_minimal_high']}]"
            minimal += "!" if row["confirmed"] is False else ""
            if bounded and row["n_bound"]:
                minimal += f" >={row['n_bound']}"
        elif row["estimate"] is not None:
            minimal = f"~{row['estimate']}"
        lines.append(
            (
                f"  {row['model']}",
                row["status"],
                _score(row["oracle"]),
                *rank(row, "score"),
                _score(row["untrained"]),
                minimal,
                *rank(row, "n_minimal"),
                str(row["n_neurons"]),
                "-" if row["share"] is None else f"{100 * row['share']:.1f}%",
                _score(row["subset_test"]),
                _score(row["random_test"]),
                *([_used(row)] if used else []),
            )
        )
    return lines


def _was_asked(row: Mapping[str, Any]) -> bool:
    """Whether the model's own predictions were looked at; rows published before version 7 say nothing of it."""
    return (row.get("evidence_tests") or {}).get(NECESSARY) is not None


def _used(row: Mapping[str, Any]) -> str:
    """What the model itself shows of the subset, for the terminal."""
    if not _was_asked(row):
        return "-"
    return SHORT.get(row["evidence"], "no")

"""Tables of docs/findings.md: how redundancy is read off a curve, what is counted, and that the document has them."""

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("findings", Path("benchmarks/findings.py"))
findings = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(findings)


def curve(*points: tuple[int, float]) -> dict:
    return {"sizes": [n for n, _ in points], "judge": [score for _, score in points]}


def row(model="m", task="t", status="supported", control_of=None, minimal=None, **curves) -> dict:
    return {
        "model": model, "task": task, "status": status, "control_of": control_of, "metric": "accuracy",
        "n_neurons": 200, "judge": {"oracle": 0.8}, "oracle": 0.81, "surface": 0.7, "surface_name": "lookup",
        "untrained": 0.6, "majority": 0.5, "n_minimal": minimal, "n_minimal_low": minimal, "n_minimal_high": None,
        "share": None if minimal is None else minimal / 200, "n_bound": minimal, "confirmed": False,
        "published_model": None,
        "curves": {
            "elimination": curve((5, 0.7), (16, 0.8)), "random": curve((100, 0.8)),
            "lca": curve((1, 0.5), (10, 0.79), (20, 0.795), (40, 0.81)),
        } | curves,
    }  # fmt: skip


def test_removable_is_read_off_the_first_size_that_keeps_99_percent_of_the_score():
    # 0.99 x 0.8 = 0.792: 10 neurons score less, 20 more
    assert findings.removable(row(), "lca") == pytest.approx(1 - 20 / 200)
    assert findings.removable(row(), "random") == pytest.approx(0.5)
    assert findings.removable(row(lca=curve((1, 0.5), (150, 0.79))), "lca") == 0.0
    assert findings.removable(row(), "probeless") is None


def test_rows_are_counted_under_their_status_and_twins_apart():
    few = curve((5, 0.8))
    rows = [
        row(minimal=8),  # 96 % by the strict protocol, 90 % by the curve
        row("n", status="at chance", elimination=few, random=few),
        row("m-untrained", status="surface", control_of="m", elimination=few),
        row("n-untrained", status="at chance", control_of="n"),
    ]
    del rows[1]["curves"]["lca"]  # as of a row that may claim nothing
    made = findings.tables(rows).splitlines()
    assert made[2:8] == [
        "| trained models, neurons of the search | 0 of 1 | - | - | 1 of 1 | 1 of 2 |",
        "| trained models, neurons of the published ranking, LCA | 0 of 1 | - | - | - | 0 of 1 |",
        "| trained models, neurons drawn at random | 0 of 1 | - | - | 1 of 1 | 1 of 2 |",
        "| untrained twins, neurons of the search | - | - | 1 of 1 | 0 of 1 | 1 of 2 |",
        "| untrained twins, neurons drawn at random | - | - | 0 of 1 | 0 of 1 | 0 of 2 |",
        "| trained models, minimal subset of the strict protocol | 1 of 1 | - | - | 0 of 1 | 1 of 2 |",
    ]
    made = made[:-3]  # without the table of published rows, which is empty
    assert made[-2] == (
        "| t | m | supported | 0.810 | 0.700 | 0.600 | 200 | 92.0% | 90.0% | 50.0% | 97.5% "
        "| 8 [8-none], bound 8, 96.0% removable, not confirmed on test |"
    )
    assert made[-1].endswith("| at chance | 0.810 | 0.700 | 0.600 | 200 | 97.5% | - | 97.5% | 92.0% | no claim |")


def test_beside_a_published_row_stands_the_score_of_the_same_share_of_neurons():
    published = {
        "published_model": "a/b", "published_metric": "f1", "published_score": 0.9, "published_n_neurons": 998,
        "published_subset_score": 0.89,
    }  # fmt: skip
    # 998 of 9,984 are 10 %: of our 200 neurons 20, of the random ones the next size, 100
    assert findings.at_share(row(), "lca", 0.0999) == 0.795
    searched = row(elimination=curve((16, 0.75), (20, 0.78), (40, 0.8))) | published
    rows = [row("n"), searched, row("m-untrained", control_of="m"), row("n-untrained", control_of="n")]
    assert findings.tables(rows).splitlines()[-1] == (
        "| t | a/b, f1 | 0.900 | 0.890 | 998, 10.0% | m, accuracy, supported | 0.800 | 0.780 | 0.800 |"
    )


def test_the_document_has_the_tables_of_the_committed_results():
    text = findings.DOCUMENT.read_text(encoding="utf-8")
    made = findings.tables(findings.read(Path("results"), "real-data"))
    assert text[text.index(findings.BEGIN) + len(findings.BEGIN) : text.index(findings.END)].strip() == made

"""Metrics against scikit-learn and against tables worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef

from neurosieve.probes import metrics


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    y = rng.integers(4, size=500)
    predicted = np.where(rng.random(500) < 0.6, y, rng.integers(4, size=500))
    return y, predicted, rng.integers(7, size=500)


def test_confusion_by_file_is_sklearns_table_of_each_file(rows):
    y, predicted, files = rows
    C = metrics.confusion_by_file(y, predicted, files, 4)
    assert C.shape == (7, 4, 4)
    for file in range(7):
        want = confusion_matrix(y[files == file], predicted[files == file], labels=range(4))
        np.testing.assert_array_equal(C[file], want)


def test_confusion_keeps_leading_axes_and_files_without_rows(rows):
    y, predicted, files = rows
    both = np.stack([[predicted, y], [y[::-1], predicted]])
    C = metrics.confusion_by_file(y, both, files, 4, n_files=9)
    assert C.shape == (2, 2, 9, 4, 4)
    assert C[0, 0, 7:].sum() == 0
    np.testing.assert_array_equal(C[0, 0, :7], metrics.confusion_by_file(y, predicted, files, 4))
    np.testing.assert_array_equal(C[0, 1].sum(0), np.diag(np.bincount(y)))


@pytest.mark.parametrize(
    ("y", "predicted", "files", "text"),
    [
        ([0, 1], [0], [0, 0], "differ in their rows"),
        ([0, 2], [0, 1], [0, 0], r"y: found 0 .. 2, expected 0 .. 1"),
        ([0, 1], [-1, 1], [0, 0], r"predicted: found -1"),
    ],
)
def test_confusion_refuses_bad_rows(y, predicted, files, text):
    with pytest.raises(ValueError, match=text):
        metrics.confusion_by_file(np.array(y), np.array(predicted), np.array(files), 2)


def test_metrics_equal_sklearn(rows):
    y, predicted, files = rows
    C = metrics.confusion_by_file(y, predicted, files, 4).sum(0)
    assert metrics.accuracy(C) == pytest.approx(accuracy_score(y, predicted), abs=1e-15)
    assert metrics.matthews(C) == pytest.approx(matthews_corrcoef(y, predicted), abs=1e-12)
    assert metrics.macro_f1(C) == pytest.approx(f1_score(y, predicted, average="macro"), abs=1e-12)
    scored = [0, 2]  # rows of 1 and 3, and predictions into them, still count as errors
    want = f1_score(y, predicted, average="macro", labels=scored)
    assert metrics.macro_f1(C, scored) == pytest.approx(want, abs=1e-12)


def test_metrics_work_over_leading_axes(rows):
    y, predicted, files = rows
    C = metrics.confusion_by_file(y, np.stack([predicted, y]), files, 4)
    for name in metrics.METRICS:
        table = metrics.metric(name, C, [0, 1, 3])
        assert table.shape == (2, 7)
        for file in range(7):
            assert table[0, file] == metrics.metric(name, C[0, file], [0, 1, 3])
        np.testing.assert_allclose(table[1], 1)


def test_absent_class_is_left_out_of_macro_f1():
    # class 0: F1 = 2*3/(4+4) = 0.75; class 1: 2*1/(2+2) = 0.5; class 2 has no true and no predicted row
    C = np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert metrics.macro_f1(C) == pytest.approx(0.625)
    y, predicted = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 1]
    want = f1_score(y, predicted, average="macro", labels=[0, 1, 2], zero_division=np.nan)
    assert metrics.macro_f1(C) == pytest.approx(want)
    C[0, 2] = 1  # predicted once, never true: F1 0, and it counts
    assert metrics.macro_f1(C) == pytest.approx((2 * 3 / 9 + 0.5 + 0) / 3)


def test_undefined_scores_are_zero():
    constant = np.array([[5, 0], [4, 0]])  # one predicted class
    assert metrics.matthews(constant) == 0
    empty = np.zeros((2, 2), int)
    assert metrics.accuracy(empty) == metrics.macro_f1(empty) == metrics.matthews(empty) == 0


def test_primary_follows_the_card_and_names_are_checked():
    C = np.array([[3, 1], [2, 4]])
    card = {"metric": "macro_f1", "scored_classes": [1]}
    assert metrics.primary(card)(C) == pytest.approx(2 * 4 / (6 + 5))
    assert metrics.primary({"metric": "accuracy", "scored_classes": [0]})(C) == pytest.approx(0.7)
    with pytest.raises(ValueError, match="write one of: accuracy, macro_f1, matthews"):
        metrics.metric("f1", C)
    with pytest.raises(metrics.MetricError, match="no class has 20 rows in 5 files"):
        metrics.macro_f1(C, [])


def test_scored_among_wants_twenty_rows_in_five_files():
    y = np.repeat([0, 1, 2, 3], [20, 19, 30, 25])
    files = np.concatenate([np.arange(20) % 5, np.arange(19) % 9, np.arange(30) % 4, np.arange(25) % 6])
    assert metrics.scored_among(y, files, [0, 1, 2, 3]) == [0, 3]
    assert metrics.scored_among(y, files, [1, 3]) == [3]


def test_all_metrics_without_a_scored_class_has_no_macro_f1():
    report = metrics.all_metrics(np.array([[2, 1], [0, 1]]), [])
    assert report["macro_f1"] is None
    assert report["accuracy"] == 0.75

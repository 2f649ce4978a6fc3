"""Cases of statistics: small inputs on which a figure was wrong, or a fault had no reason."""

from types import SimpleNamespace

import numpy as np
import pytest

from neurosieve.probes import metrics
from neurosieve.probes.baselines import Constant
from neurosieve.probes.intervals import FileBootstrap
from neurosieve.probes.status import compare


def made(labels, files=None, seen=None):
    labels = np.asarray(labels)
    files = np.arange(len(labels)) % 20 if files is None else files
    return SimpleNamespace(labels=labels, files=files, seen=seen)


@pytest.mark.parametrize(
    ("metric", "scored", "labels", "answer", "score"),
    [
        ("accuracy", [0, 1], [0] * 4 + [1] * 96, 1, 0.96),  # train's majority, 0, would score 0.04
        ("accuracy", [0, 1], [0] * 50 + [1] * 50, 0, 0.5),
        ("macro_f1", [0, 2], [0] * 30 + [1] * 60 + [2] * 40, 2, 40 / (130 + 40)),  # 1 is frequent, but not scored
    ],
)
def test_S2_majority_is_the_best_constant_of_the_scored_split(metric, scored, labels, answer, score):
    card = {"metric": metric, "scored_classes": scored, "classes": [str(i) for i in range(max(labels) + 1)]}
    constant = Constant.from_state(Constant.fit(SimpleNamespace(card=card), ()).state()[0], {})
    rows = SimpleNamespace(rows=made(labels), text=[""] * len(labels))
    predicted = constant.predict(rows)
    assert predicted.dtype == np.int16 and set(predicted.tolist()) == {answer}
    C = metrics.confusion_by_file(rows.rows.labels, predicted, rows.rows.files, len(card["classes"])).sum(0)
    assert float(metrics.primary(card)(C)) == pytest.approx(score)
    every = [np.full(len(labels), c) for c in range(len(card["classes"]))]
    tables = metrics.confusion_by_file(rows.rows.labels, np.stack(every), rows.rows.files, len(every)).sum(1)
    assert metrics.primary(card)(tables).max() == pytest.approx(score)


def test_S2_noise_is_at_chance_where_test_has_another_majority_than_train():
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 25 > 0).astype(int)  # 16 of 0 and 384 of 1
    card = {"metric": "accuracy", "scored_classes": [0, 1], "classes": ["0", "1"]}
    rows = made(labels)
    noise = rng.integers(2, size=400).astype(np.int16)
    majority = Constant(card).predict(SimpleNamespace(rows=rows, text=[""] * 400))
    found = compare(card, rows, noise, {"majority": majority}, FileBootstrap(rows.files, 200, 1), 0.95)
    assert found["comparisons"]["majority"]["p"] > 0.5


def test_S2_the_constant_of_unseen_types_is_the_best_on_them():
    labels = np.repeat([0, 1], [300, 100])
    seen = labels == 0
    seen[:40] = False  # of the unseen 140, 40 are of class 0
    card = {"metric": "accuracy", "scored_classes": [0, 1], "classes": ["0", "1"]}
    rows = made(labels, seen=seen)
    opponents = {"majority": np.zeros(400, np.int16)}
    found = compare(card, rows, labels.astype(np.int16), opponents, FileBootstrap(rows.files, 99, 1), 0.95, unseen=True)
    assert found["comparisons"]["majority"]["score"] == pytest.approx(100 / 140)


def test_S2_the_constant_number_is_the_mean_of_the_scored_split():
    card = {"metric": "r2", "scored_classes": [], "classes": []}
    rows = made([1.0, 2.0, 6.0])
    predicted = Constant(card).predict(SimpleNamespace(rows=rows, text=[""] * 3))
    assert predicted.dtype == np.float32 and predicted.tolist() == [3.0] * 3
    assert metrics.report(rows.labels, predicted, metrics.NUMBER, [])["r2"] == 0

"""What subsets are compared with: the best on tune of everything fitted, and when that is weak."""

from types import SimpleNamespace

import numpy as np
import pytest

from neurosieve.subsets import report
from neurosieve.subsets.curves import Curve
from neurosieve.subsets.data import Judged, Rival
from neurosieve.subsets.reference import Reference, best_reference, shown_weak

MARGIN = 0.01
NOISE = np.linspace(-0.004, 0.004, 21)  # over replicates, of the same files for every set


def judged(value, noise=0.0):
    """Replicates about the value; ``noise``: what the set adds to the files' own deviations, in units of NOISE."""
    return Judged(value, value + NOISE + noise * NOISE[::-1])


def point(tune, judge, noise=0.0, size=1):
    probe = SimpleNamespace(l1=0.0, l2=0.01)
    return SimpleNamespace(neurons=np.arange(size), probe=probe, tune=tune, judged=judged(judge, noise))


def curve(**points):
    """size=(tune, judge[, noise]) by keyword n<size>."""
    found = {int(key[1:]): point(*values, size=int(key[1:])) for key, values in points.items()}
    return Curve(SimpleNamespace(kept=np.arange(max(found))), None, found)


OF_LAYERS = Reference("all", None, np.arange(9), SimpleNamespace(l1=0.0, l2=0.1), 0.80, judged(0.80))


def rival(reference=0.80, baseline=0.5):
    return Rival(judged(reference), judged(baseline), MARGIN, 0.9)


def test_the_reference_is_the_best_on_tune_whatever_judge_says():
    curves = {"a": curve(n3=(0.79, 0.99), n9=(0.80, 0.8)), "b": curve(n4=(0.81, 0.70), n9=(0.80, 0.8))}
    found = best_reference(OF_LAYERS, curves)
    assert (found.name, found.curve, found.tune, found.judged.value) == ("b-4", "b", 0.81, 0.70)
    assert found.report() == {
        "set": "b-4", "curve": "b", "neurons": 4, "l1": 0.0, "l2": 0.01, "tune": 0.81, "judge": 0.70,
    }  # fmt: skip


def test_of_equals_the_layers_are_the_reference():
    curves = {"a": curve(n3=(0.80, 0.9), n9=(0.80, 0.8))}
    assert best_reference(OF_LAYERS, curves) is OF_LAYERS


@pytest.mark.parametrize(
    ("judge", "noise", "weak"),
    [
        (0.809, 0.0, False),  # less than a margin above
        (0.811, 0.0, True),
        (0.811, 4.0, False),  # more than a margin above, and not shown to be above: bounds are as wide as the noise
    ],
)
def test_a_reference_is_weak_where_a_set_is_a_margin_above_it_for_sure(judge, noise, weak):
    curves = {"a": curve(n3=(0.7, 0.805), n9=(0.8, 0.8)), "b": curve(n4=(0.7, judge, noise), n9=(0.8, 0.8))}
    found = shown_weak(curves, rival())
    assert (found is not None) == weak
    if found:
        assert (found["curve"], found["neurons"]) == ("b", 4) and found["difference"] == pytest.approx(judge - 0.8)


def test_with_a_weak_reference_nothing_is_claimed():
    passing = curve(n3=(0.79, 0.80), n9=(0.80, 0.80))
    assert report.no_claim(False, None, None) is None and report.why_none_passes(passing, rival(), "surface") is None
    weak = {"curve": "b", "neurons": 1200, "difference": 0.0312, "lower": 0.02}
    why = report.no_claim(False, None, weak)
    assert why == "the reference is weak: 1,200 neurons of b score 0.0312 more on judge"
    assert "not above the untrained twin on judge" in report.no_claim(False, "untrained", weak)
    assert report.no_claim(True, "untrained", weak) == "dev too small"


def test_why_no_size_passes():
    low = curve(n3=(0.7, 0.70), n9=(0.7, 0.75))
    assert "not within the margin of the reference" in report.why_none_passes(low, rival(), "surface")
    level = curve(n3=(0.7, 0.795), n9=(0.7, 0.8))
    why = report.why_none_passes(level, rival(baseline=0.8), "untrained")
    assert why == "all neurons are not above the best baseline (untrained), nor is a smaller set"


@pytest.mark.parametrize(("tune", "last"), [((0.5, 0.8, 0.795), 2), ((0.5, 0.8, 0.785), 1), ((0.8, 0.8, 0.8), 2)])
def test_the_curve_increases_up_to_the_largest_size_a_margin_from_the_best_on_tune(tune, last):
    values = dict(zip(("n2", "n4", "n8"), ((t, 0.8) for t in tune), strict=True))
    assert curve(**values).tested(rival()).last == last


def test_a_size_that_is_best_on_tune_and_fails_on_judge_stands_in_no_ones_way():
    lucky = curve(n10=(0.70, 0.75), n20=(0.80, 0.788), n40=(0.78, 0.80), n80=(0.78, 0.80))
    assert lucky.tested(rival()).last == 3 and lucky.passes(rival()).tolist() == [False, False, True, True]
    assert report.why_none_passes(lucky, rival(), "surface") is None


def test_sizes_that_pass_alone_and_not_on_the_fitted_curve_say_so():
    # 20 is near on both, so the curve ends there; its own bound fails, and 40 is far below the best on tune
    shaky = curve(n10=(0.70, 0.70), n20=(0.80, 0.795, 4.0), n40=(0.78, 0.80))
    assert not shaky.passes(rival()).any() and shaky.tested(rival()).last == 1
    why = report.why_none_passes(shaky, rival(), "surface")
    assert why.startswith("all neurons pass by themselves, but no size does on the curve")

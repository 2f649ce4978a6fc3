"""What every file of subsets/contenders/ must keep to; a file dropped in is tested without a change here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from subset_inputs import CASES, Case, given, make

from neurosieve.config import load_params, search_names
from neurosieve.subsets import contenders
from neurosieve.subsets.contenders import Fitted, SubsetInput

ROWS, NEURONS = 150, 24
SIZES = (17, 12, 8, 5, 3, 2, 1)

each_search = pytest.mark.parametrize("name", search_names())
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def walk(name: str, data: SubsetInput, sizes: tuple[int, ...] = SIZES) -> dict[int, Fitted]:
    """Sets by size, each asked for with the probe of the next larger one that is there."""
    choose, found = contenders.load(name)(data), {data.neurons: data.full}
    for size in sizes:
        above = found[min(s for s in found if s > size)]
        found[size] = data.fit(choose(size, above), above)
    return found


def frozen(data: SubsetInput) -> SubsetInput:
    """The same, of arrays that raise when they are written to."""
    for array in (data.X, data.y, data.gram.gram, data.full.neurons, data.full.probe.weights, data.target.wanted):
        array.flags.writeable = False
    return data


def test_searches_of_the_default_benchmark_have_files():
    params = load_params("params.yaml")
    assert params.subsets.searches and set(params.subsets.searches) <= set(search_names())
    assert {"elimination", "exchange", "relaxation"} <= set(search_names())


def test_a_name_without_a_file_is_told_with_those_that_have_one():
    with pytest.raises(ValueError, match="search 'nosuch' has no file; write one of: elimination, "):
        contenders.load("nosuch")


@each_search
@each_case
def test_sets_of_exactly_the_size_the_same_each_time_and_no_input_written_to(name, case):
    data = frozen(make(case, ROWS, NEURONS))
    found = walk(name, data, (*SIZES, 4, 10))  # sizes between, as bisection asks for them afterwards
    for size, fitted in found.items():
        neurons = fitted.neurons
        assert neurons.shape == (size,) and np.issubdtype(neurons.dtype, np.integer)
        assert len(set(neurons.tolist())) == size and neurons.min() >= 0 and neurons.max() < NEURONS
    again = walk(name, make(case, ROWS, NEURONS), (*SIZES, 4, 10))
    assert all(np.array_equal(found[size].neurons, again[size].neurons) for size in found)


@each_search
@each_case
def test_what_decides_is_found(name, case):
    """A carrier or its copy, which share what they tell, so that a set may hold both."""
    copied = {NEURONS - 1 - i: i for i in range(case.copies)}
    found = walk(name, make(case, ROWS, NEURONS))[8 if copied else case.carriers].neurons
    assert {copied.get(n, n) for n in found.tolist()} >= set(range(case.carriers))


@each_search
@pytest.mark.parametrize("case", [Case(), Case((), 0, columns=2), Case((0, 1, 2), 3, l1=0.005)], ids=str)
def test_renumbering_the_neurons_renumbers_the_sets(name, case):
    data = make(case, ROWS, NEURONS)
    moved = np.random.default_rng(0).permutation(NEURONS)
    there = walk(name, given(np.ascontiguousarray(data.X[:, data.at(moved)]), data.y, case))
    for size, fitted in walk(name, data).items():
        assert set(moved[there[size].neurons].tolist()) == set(fitted.neurons.tolist()), size


@each_search
@pytest.mark.parametrize("case", [Case(columns=2), Case((), 0, columns=3)], ids=str)
def test_the_columns_of_a_neuron_go_together_in_whichever_order(name, case):
    data = make(case, ROWS, NEURONS)
    turned = data.X.reshape(ROWS, NEURONS, -1)[:, :, ::-1].reshape(ROWS, -1)
    there = walk(name, given(np.ascontiguousarray(turned), data.y, case))
    for size, fitted in walk(name, data).items():
        assert set(there[size].neurons.tolist()) == set(fitted.neurons.tolist()), size


@each_search
def test_where_every_weight_is_zero_there_is_a_set_all_the_same(name):
    """A penalty above every gradient: nothing tells the neurons apart."""
    case = Case(l1=1.0)
    data = make(case, ROWS, NEURONS)
    assert not data.full.probe.weights.any()
    assert [len(set(fitted.neurons.tolist())) for fitted in walk(name, data).values()] == [NEURONS, *SIZES]


@each_search
def test_the_penalty_of_the_set_above_is_the_one_that_counts(name):
    """The walk goes by the probe that it is given, which need not have the penalty of the probe of all neurons."""
    data = make(Case(), ROWS, NEURONS)
    stronger = data.fit(data.full.neurons, replace(data.full, probe=replace(data.full.probe, l2=0.2)))
    found = walk(name, data)[8]
    neurons = contenders.load(name)(data)(3, replace(found, probe=data.fit(found.neurons, Fitted(
        found.neurons, replace(found.probe, l2=stronger.probe.l2))).probe))  # fmt: skip
    assert set(neurons.tolist()) == {0, 1, 2}

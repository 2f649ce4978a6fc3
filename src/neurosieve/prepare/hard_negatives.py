"""Pairs that do not match, made for data that have matching pairs only (code search).

Reads and writes no files. The words that query and code share tell most codes drawn at random from the right one
(METHOD 4), so negatives are drawn from the codes most like the query, by TF-IDF cosine of the pieces of words.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from neurosieve.config import Negatives
from neurosieve.prepare.records import Record
from neurosieve.prepare.sampling import Sample, Want, over_files, pair_sample

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BLOCK = 256
# Cosines are compared to so many digits: equal ones may differ in their last bits, and ties go by place.
_DIGITS = 9
_RANDOM_POOL = 30
_UNUSED = "code of the code base, not drawn"


def pieces(text: str) -> list[str]:
    """Lower-cased pieces of words and identifiers: ``readHTTPHeader_v2`` -> read, http, header, v2."""
    return [piece.lower() for word in _WORD.findall(text) for piece in _CAMEL.split(word)]


def tfidf(queries: Sequence[str], codes: Sequence[str]) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Unit vectors (n_queries, n_words) and (n_codes, n_words), float64: counts times ln((1 + n) / (1 + df)) + 1.

    n and df count codes; words that no code has are left out. A text without a known word is a row of zeros.
    """
    found = [Counter(pieces(code)) for code in codes]
    frequency = Counter(word for counts in found for word in counts)
    index = {word: i for i, word in enumerate(sorted(frequency))}
    idf = np.array([math.log((1 + len(codes)) / (1 + frequency[word])) + 1 for word in index])

    def vectors(texts: Sequence[Counter[str]]) -> sparse.csr_array:
        known = [sorted((index[word], n) for word, n in counts.items() if word in index) for counts in texts]
        starts = np.cumsum([0, *map(len, known)])
        columns = np.array([i for row in known for i, _ in row], np.int64)
        values = np.array([n for row in known for _, n in row], np.float64) * idf[columns]
        lengths = [math.sqrt(math.fsum(values[a:b] ** 2)) or 1.0 for a, b in pairwise(starts)]
        values /= np.repeat(lengths, np.diff(starts))
        return sparse.csr_array((values, columns, starts), shape=(len(texts), len(index)))

    return vectors([Counter(pieces(query)) for query in queries]), vectors(found)


def nearest(queries: Sequence[str], codes: Sequence[str], never: Sequence[set[int]], pool: int) -> list[np.ndarray]:
    """For each query the indices of the ``pool`` codes most like it, the nearest first, without those of ``never``.

    Codes that share no word with the query come last; ties go by the order of the codes. There are fewer than ``pool``
    only where there are no more codes.
    """
    left, right = tfidf(queries, codes)
    right = right.T.tocsr()
    found: list[np.ndarray] = []
    for begin in range(0, len(queries), _BLOCK):
        cosine = np.round((left[begin : begin + _BLOCK] @ right).toarray(), _DIGITS)
        for row, excluded in zip(cosine, never[begin : begin + _BLOCK], strict=True):
            row[list(excluded)] = -1.0
            count = min(pool, len(codes) - len(excluded))
            if count <= 0:
                found.append(np.array([], np.int64))
                continue
            best = np.flatnonzero(row >= np.partition(row, -count)[-count])
            found.append(best[np.argsort(-row[best], kind="stable")][:count])
    return found


def draw(
    queries: Sequence[str],
    codes: Sequence[str],
    never: Sequence[set[int]],
    matching: Sequence[int],
    negatives: Negatives,
    rng: np.random.Generator,
) -> list[list[int]]:
    """Indices of codes that do not match, for each query: ``per_positive`` different ones, or as many as there are.

    queries, never, matching : of each pair the query, the codes never to be drawn for it, and its own code.

    As far as the pools allow, a code is drawn as often as it is the code of a pair: else the code alone would tell
    that it does not match, by what makes it like many queries. That is a matching of pairs to codes, the largest there
    is, on the pools of the pairs; pairs that it leaves out draw from their pool at random. For `random` negatives a
    pool is a random part of the codes of the pairs.
    """
    own = np.unique(np.asarray(matching, np.int64))
    if negatives.kind == "hard":
        pools = nearest(queries, codes, never, negatives.pool)
    else:
        pools = []
        for excluded in never:
            free = own[~np.isin(own, list(excluded))]
            pools.append(rng.choice(free, min(len(free), _RANDOM_POOL), replace=False))
    drawn: list[list[int]] = [[] for _ in queries]
    for _ in range(negatives.per_positive):
        free_pools = [pool[~np.isin(pool, taken)] for pool, taken in zip(pools, drawn, strict=True)]
        if not any(map(len, free_pools)):
            break
        matched = _matched(free_pools, matching, len(codes), rng)
        for i, pool in enumerate(free_pools):
            if len(pool):
                drawn[i].append(matched[i] if matched[i] >= 0 else int(rng.choice(pool)))
    return drawn


def _matched(pools: list[np.ndarray], matching: Sequence[int], n_codes: int, rng: np.random.Generator) -> list[int]:
    """Code of each pair in a largest matching that takes a code at most as often as it is in ``matching``; -1: none.

    Which of the largest ones is up to the order of pairs and codes, which is random.
    """
    places = rng.permutation(np.asarray(matching, np.int64))  # a place for each time that a code may be drawn
    by_code = np.argsort(places, kind="stable")
    starts = np.searchsorted(places[by_code], np.arange(n_codes + 1))
    order = rng.permutation(len(pools))
    edges = [
        np.sort(np.concatenate([by_code[starts[c] : starts[c + 1]] for c in pools[i]] or [by_code[:0]])) for i in order
    ]
    pointers = np.cumsum([0, *map(len, edges)])
    columns = np.concatenate(edges) if edges else by_code
    graph = sparse.csr_matrix((np.ones(len(columns), np.int8), columns, pointers), shape=(len(pools), len(places)))
    found = [-1] * len(pools)
    for i, place in zip(order, maximum_bipartite_matching(graph, perm_type="column"), strict=True):
        found[i] = int(places[place]) if place >= 0 else -1
    return found


def match_sample(records: list[Record], want: Want) -> Sample:
    """Rows of pairs that match (the second class) and of pairs that do not (the first).

    Labelled pairs are taken as they are. Pairs without a label match: those that are taken get their negatives, from
    the codes of the pairs that are taken and, hard ones, also from a code base: records without a right text. The
    sample's facts say how many codes there were and what share of the rows that do not match has a code that stands in
    one that does, too.
    """
    pairs = [record for record in records if record.right is not None]
    base = [record for record in records if record.right is None]
    mismatch, match = want.classes
    if want.negatives is None or any(record.label is not None for record in pairs):
        sample = pair_sample(pairs, want)
        sample.left_out[_UNUSED] += len(base)
        return sample
    order = list(over_files(pairs, want.rng))
    taken = order[: want.rows // (1 + want.negatives.per_positive)]
    codes = {record.right_key: record for record in reversed(taken)}
    if want.negatives.kind == "hard":
        codes = {record.key: record for record in base} | codes
    listed = [codes[key] for key in sorted(codes)]
    index = {key: i for i, key in enumerate(sorted(codes))}
    matches: dict[str, set[int]] = defaultdict(set)
    for record in pairs:
        if record.right_key in index:
            matches[record.key].add(index[record.right_key])
    drawn = draw(
        [record.text for record in taken],
        [record.text if record.right is None else record.right for record in listed],
        [matches[record.key] for record in taken],
        [index[record.right_key] for record in taken],
        want.negatives,
        want.rng,
    )
    sample = Sample()
    ids: dict[tuple[str, str], int] = {}

    def number(record: Record, *, right: bool) -> int:
        text = (record.right or "") if right else record.text
        file = (record.right_file or record.file) if right else record.file
        if (text, file) not in ids:
            ids[text, file] = sample.add_input(record, text, right=right)
        return ids[text, file]

    made: dict[tuple[int, int], int] = {}  # (query, code) -> place in `listed`
    for record, others in zip(taken, drawn, strict=True):
        query = number(record, right=False)
        sample.rows.append({"input": query, "input2": number(record, right=True), "label": want.classes.index(match)})
        for other in others:
            code = listed[other]
            if code.right is None:  # of the code base: told as of the package of the query
                code = replace(code, package=record.package)
            code_id = number(code, right=code.right is not None)
            if (query, code_id) in made:
                sample.left_out["negative that another pair of the query has too"] += 1
                continue
            made[query, code_id] = other
            sample.rows.append({"input": query, "input2": code_id, "label": want.classes.index(mismatch)})
        sample.left_out["negative, for which the split has no code"] += want.negatives.per_positive - len(others)
    sample.left_out["not needed"] += len(order) - len(taken)
    used = set(made.values())
    sample.left_out[_UNUSED] += sum(index.get(record.key) not in used for record in base)
    sample.facts["negatives"] = {
        "kind": want.negatives.kind,
        "codes": len(listed),
        "rows": len(made),
        "code_matches_too": sum(listed[other].right is not None for other in made.values()) / max(1, len(made)),
    }
    return sample

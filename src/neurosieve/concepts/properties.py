"""Which properties of whole functions do the chosen neurons carry, once length is held fixed?

Properties are counted in the syntax tree that the pinned tree-sitter grammars give. Long functions have more of
everything, so that a neuron which carries length alone would seem to carry all of them: what counts is the partial rank
correlation of the neuron's value with the property, given the number of tokens,

    (r_xp - r_xl r_pl) / sqrt((1 - r_xl^2) (1 - r_pl^2)),   r Spearman's correlations,

against the same with the property permuted among functions of about equal length (STRATA groups by number of tokens),
which leaves what length says of neuron and property alone. A neuron is named after a property where the correlation is
farther from what these permutations give than the farthest of all neurons, properties and directions
(:func:`neurosieve.concepts.null.family_wise`). Functions of a file count as separate.

Reads: prepare/tasks/<task>/judge (inputs.jsonl), activations/<model>/<task>/{train,judge}. Writes no files: what
``describe`` returns is "properties" of concepts.json.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosieve.artifacts import read_jsonl, read_npy
from neurosieve.concepts.null import Null, benjamini_hochberg, critical, family_wise, pooled
from neurosieve.config import Params
from neurosieve.probes.features import Features
from neurosieve.probes.metrics import column_ranks

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

STRATA = 10
LEAST = 40  # functions, or nothing is said
FIRST = 200  # inputs that tell whether the rest is worth parsing: functions that break off have syntax errors
RANDOM = 5  # draws of as many other neurons of the same layers

#: Language of the code of kinds that read data files; of the others it is that of the task's corpus.
KINDS = {"codexglue-defect": "c", "codexglue-clone": "java", "cosqa": "python"}
LENGTH = "tokens"
PROPERTIES = (
    "lines", "nesting", "complexity", "loops", "branches", "calls", "returns", "parameters", "names", "assignments",
    "operators", "numbers", "strings", "constants", "subscripts", "pointers", "casts", "error_handling", "comments",
)  # fmt: skip


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Types of nodes, of all three grammars: what one of them calls so is nothing else in the others.
FUNCTIONS = _words("function_definition method_declaration constructor_declaration")
_NODES = {
    "loops": _words("for_statement enhanced_for_statement while_statement do_statement for_in_clause"),
    "branches": _words(
        "if_statement elif_clause switch_statement switch_expression match_statement conditional_expression "
        "ternary_expression"
    ),
    "calls": _words(
        "call call_expression method_invocation object_creation_expression explicit_constructor_invocation"
    ),
    "returns": _words("return_statement"),
    "parameters": _words("formal_parameter spread_parameter parameter_declaration variadic_parameter"),
    "assignments": _words(
        "assignment augmented_assignment assignment_expression update_expression named_expression init_declarator"
    ),
    "operators": _words(
        "binary_expression binary_operator unary_expression unary_operator comparison_operator boolean_operator "
        "not_operator"
    ),
    "numbers": _words(
        "integer float number_literal decimal_integer_literal hex_integer_literal octal_integer_literal "
        "binary_integer_literal decimal_floating_point_literal hex_floating_point_literal"
    ),
    "strings": _words("string string_literal char_literal character_literal"),
    "constants": _words("none null null_literal true false"),
    "subscripts": _words("subscript subscript_expression array_access"),
    "pointers": _words("pointer_declarator abstract_pointer_declarator pointer_expression"),
    "casts": _words("cast_expression"),
    "error_handling": _words(
        "try_statement try_with_resources_statement except_clause catch_clause finally_clause raise_statement "
        "throw_statement assert_statement goto_statement"
    ),
    "comments": _words("comment line_comment block_comment"),
}
_OF_NODE = {node: name for name, nodes in _NODES.items() for node in nodes}
#: What adds a way through the function: 1 + their number is the cyclomatic complexity (McCabe 1976).
_DECISIONS = (
    _NODES["loops"]
    | (_NODES["branches"] - _words("switch_statement switch_expression match_statement"))
    | _words("case_clause except_clause catch_clause if_clause boolean_operator")
)
_BLOCKS = _words(
    "if_statement for_statement enhanced_for_statement while_statement do_statement switch_statement switch_expression "
    "match_statement try_statement try_with_resources_statement with_statement"
)
_NAMES = _words("identifier field_identifier type_identifier")
_PYTHON_PARAMETERS = _words(
    "identifier default_parameter typed_parameter typed_default_parameter list_splat_pattern dictionary_splat_pattern"
)
_FAILS = re.compile(r"err|fail|abort|assert|panic|warn", re.IGNORECASE)  # in C errors are handled by what is called


@cache
def _parser(language: str) -> Parser:
    import tree_sitter_c
    import tree_sitter_java
    import tree_sitter_python
    from tree_sitter import Language, Parser

    grammars = {"c": tree_sitter_c, "java": tree_sitter_java, "python": tree_sitter_python}
    return Parser(Language(grammars[language].language()))


def count(text: str, language: str) -> dict[str, int] | None:
    """LENGTH and PROPERTIES of the function that a text is; None where it holds none, or has a syntax error.

    tokens : leaves of the tree but comments; nesting : blocks of if, loop, switch, try and with inside each other (an
    `else if` is no block in the `if`); complexity : 1 + decisions; names : different identifiers; pointers : of C,
    declared, followed (`*`, `->`) or taken (`&`); error_handling : try, except, raise, assert and their like, in C
    `goto` and calls of functions whose name says so (`error`, `fail`, `abort`, `assert`, `panic`, `warn`). Functions
    inside the function count with it. language : "python", "java" or "c".
    """
    around = ("class A {\n", "\n}") if language == "java" else ("", "")
    root = _parser(language).parse((around[0] + text + around[1]).encode("utf-8")).root_node
    if root.has_error:
        return None
    if language == "java":
        body = root.children[0].child_by_field_name("body")
        members = body.named_children if body is not None else []
    else:
        members = root.children
    found: Counter[str] = Counter(dict.fromkeys((LENGTH, *PROPERTIES), 0))
    names, functions = set(), 0
    stack: list[tuple[Node, str, int]] = [(member, "", 0) for member in members]
    while stack:
        node, above, depth = stack.pop()
        kind = node.type
        functions += kind in FUNCTIONS
        name = _OF_NODE.get(kind)
        if name is not None and node.is_named and node.text != b"void":  # the parameters of `f(void)`
            found[name] += 1
        found["complexity"] += _decides(node)
        if kind in _BLOCKS and not (kind == "if_statement" and _after_else(node, above)):
            depth += 1
            found["nesting"] = max(found["nesting"], depth)
        if kind in _NAMES:
            names.add(node.text)
        elif kind == "variable_declarator":  # of Java; `int i = 0` sets a variable there too
            found["assignments"] += any(child.type == "=" for child in node.children)
        elif kind == "->" and above == "field_expression":
            found["pointers"] += 1
        elif kind in ("parameters", "lambda_parameters"):
            found["parameters"] += sum(child.type in _PYTHON_PARAMETERS for child in node.named_children)
        elif kind == "call_expression":
            called = node.child_by_field_name("function")
            found["error_handling"] += called is not None and bool(_FAILS.search((called.text or b"").decode("utf-8")))
        if not node.child_count or name == "strings" or name == "comments":
            found[LENGTH] += name != "comments"
            continue
        stack.extend((child, kind, depth) for child in node.children)
    if not functions:
        return None
    found["names"] = len(names)
    found["lines"] = len(text.strip().splitlines())
    found["complexity"] += 1
    return dict(found)


def _after_else(node: Node, above: str) -> bool:
    """Of C and Java; an `if` that another one holds without braces is a block in it."""
    holder = node.parent
    return above == "else_clause" or (
        above == "if_statement" and holder is not None and holder.child_by_field_name("alternative") == node
    )


def _decides(node: Node) -> bool:
    kind = node.type
    if kind == "binary_expression":
        operator = node.child_by_field_name("operator")
        return operator is not None and operator.type in ("&&", "||")
    if kind in ("case_statement", "switch_label"):
        return bool(node.children) and node.children[0].type == "case"
    return kind in _DECISIONS and node.is_named


def language_of(params: Params, task: str) -> str | None:
    """Language of the code of a task's inputs; None where nothing says."""
    entry = params.prepare.tasks[task]
    if entry.corpus is not None:
        return params.prepare.corpora[entry.corpus].language
    return KINDS.get(entry.kind)


def strata_of(length: np.ndarray, strata: int = STRATA) -> np.ndarray:
    """Group of each function, (functions,) ints: equally many by length, functions of one length in one group."""
    edges = np.quantile(length, np.arange(1, strata) / strata)
    return np.searchsorted(edges, length, side="left")


def partial_spearman(X: np.ndarray, P: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Partial rank correlation of every column of X with every row of P, given length: float64 (rows of P, columns).

    X : (functions, columns); P : (properties, functions); length : (functions,). NaN where one is constant, or is
    nothing but length.
    """
    given = column_ranks(length[:, None].astype(np.float64))
    x, p = (_left_over(column_ranks(values), given) for values in (X, P.T))
    return np.clip(p.T @ x, -1, 1)


def _left_over(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Columns less what is linear in the one column ``given``, of length 1; NaN where nothing is left."""
    values, given = values - values.mean(axis=0), given - given.mean()
    before = np.sqrt(np.square(values).sum(axis=0))
    square = float(np.square(given).sum())
    rest = values - given @ (given.T @ values) / square if square else values
    length = np.sqrt(np.square(rest).sum(axis=0))
    return np.asarray(rest / np.where(length > 1e-9 * np.maximum(before, 1), length, np.nan))


def permute_within(X: np.ndarray, P: np.ndarray, length: np.ndarray, n: int, rng: np.random.Generator) -> Null:
    """Partial correlations observed and with each property permuted within strata of length ``n`` times.

    Null.scores : (n + 1, columns, properties, 2), positive and negative; 0 where not defined.
    """
    strata = strata_of(length)
    given = column_ranks(length[:, None].astype(np.float64))
    x, p = _left_over(column_ranks(X), given), column_ranks(P.T)  # to permute values is to permute their ranks
    found = np.empty((n + 1, X.shape[1], len(P)))
    order = np.argsort(strata, kind="stable")
    for draw in range(n + 1):
        source = np.arange(len(length))
        if draw:
            source[order] = np.lexsort((rng.random(len(length)), strata))
        found[draw] = np.clip(x.T @ _left_over(p[source], given), -1, 1)
    found = np.nan_to_num(found, nan=0.0)
    return Null(np.stack([found, -found], axis=-1), list(range(len(P))), np.zeros(len(P), bool))


def describe(
    params: Params, features: Features, neurons: np.ndarray, subset: np.ndarray | None = None
) -> dict[str, Any]:
    """ "properties" of concepts.json, of a task of sequences or pairs; ``neurons`` are the first of the ``subset``.

    {"reason": why there is nothing, else null, "language", "functions": judge inputs that were read, "left_out": those
    that hold no function or a syntax error, "strata", "permutations", "level", "null_max_quantile",
    "names": {property: {"constant", "with_length": Spearman's correlation with the number of tokens, "with_label": its
    partial correlation with the label where there are two classes and one input a row, "neurons": how many are named
    after it, "random": how many of as many random neurons of the same layers would be, mean of RANDOM draws, null where
    a layer has too few others, "strongest": {"neuron", "r"}}},
    "significant", "random": the same of all properties,
    "neurons": [{"neuron", "with_length", "property": the farthest from its null, "r": partial correlation, "z",
    "p_max", "q", "named": the property or null}]}
    """
    language = language_of(params, features.task)
    report: dict[str, Any] = {"reason": None, "language": language}
    if language is None:
        return report | {"reason": "the language of the inputs is not known"}
    texts = [row["text"] for row in read_jsonl(features.paths.task(features.task) / "judge" / "inputs.jsonl")]
    counted = [count(text, language) for text in texts[:FIRST]]
    if sum(found is not None for found in counted) * 10 < len(counted):
        return report | {
            "reason": f"fewer than a tenth of the first {FIRST} inputs are functions without a syntax error"
        }
    counted += [count(text, language) for text in texts[FIRST:]]
    at = np.array([i for i, found in enumerate(counted) if found is not None], np.int64)
    report |= {"functions": len(at), "left_out": len(texts) - len(at)}
    if len(at) < LEAST:
        return report | {"reason": f"fewer than {LEAST} inputs are functions without a syntax error"}
    if not len(neurons):
        return report | {"reason": "no neurons were chosen"}
    read = [found for found in counted if found is not None]
    length = np.array([found[LENGTH] for found in read])
    P = np.array([[found[name] for found in read] for name in PROPERTIES], np.float64)
    random = _others(params, features, neurons, subset)
    X = _vectors(features, np.concatenate([neurons, random.ravel()]))[at]
    rng = np.random.default_rng(
        [params.seed, zlib.crc32(b"properties"), *(zlib.crc32(s.encode()) for s in (features.model, features.task))]
    )
    null = permute_within(X, P, length, params.concepts.permutations, rng)
    return report | _told(params, features, neurons, random, null, P, length, at)


def _told(
    params: Params,
    features: Features,
    neurons: np.ndarray,
    random: np.ndarray,
    null: Null,
    P: np.ndarray,
    length: np.ndarray,
    at: np.ndarray,
) -> dict[str, Any]:
    level, n = params.concepts.level, len(neurons)
    z = null.z
    own = z[:, :n]
    limit = critical(own, level)  # of the neurons' own family; random ones are held to the same
    r, best = null.scores[0, :n, :, 0], own[0].max(axis=2).argmax(axis=1)
    evidence = np.maximum(own[0].max(axis=(1, 2)), 0)
    p, q = family_wise(evidence, own), benjamini_hochberg(pooled(evidence, own))
    named = p <= level
    beyond = z[0, n:].max(axis=2).reshape(*random.shape, len(PROPERTIES))
    of_random = beyond.argmax(axis=2)
    random_named = beyond.max(axis=2) > limit
    label = _labels(features, at)
    with_label = None if label is None else partial_spearman(label[:, None], P, length)[:, 0]
    length_of = _spearman(_vectors(features, neurons)[at], length)
    with_length = _spearman(P.T, length)
    names = {}
    for i, name in enumerate(PROPERTIES):
        strongest = int(np.abs(r[:, i]).argmax())
        constant = bool(np.ptp(P[i]) == 0)
        names[name] = {
            "constant": constant,
            "with_length": _number(with_length[i]),
            "with_label": None if with_label is None else _number(with_label[i]),
            "neurons": int((named & (best == i)).sum()),
            "random": float((random_named & (of_random == i)).sum(axis=1).mean()) if len(random) else None,
            "strongest": None if constant else {"neuron": int(neurons[strongest]), "r": float(r[strongest, i])},
        }
    return {
        "strata": STRATA,
        "permutations": params.concepts.permutations,
        "level": level,
        "null_max_quantile": limit,
        "names": names,
        "significant": int(named.sum()),
        "random": float(random_named.sum(axis=1).mean()) if len(random) else None,
        "neurons": [
            {
                "neuron": int(neuron),
                "with_length": _number(length_of[i]),
                "property": PROPERTIES[best[i]],
                "r": float(r[i, best[i]]),
                "z": float(own[0, i, best[i]].max()),
                "p_max": float(p[i]),
                "q": float(q[i]),
                "named": PROPERTIES[best[i]] if named[i] else None,
            }
            for i, neuron in enumerate(neurons)
        ],
    }


def _spearman(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of every column of X (rows, columns) with y (rows,); NaN where one is constant."""
    nothing = np.zeros((len(y), 1))
    x, given = (_left_over(column_ranks(v), nothing) for v in (X, y[:, None].astype(np.float64)))
    return np.asarray(np.clip(given.T @ x, -1, 1)[0])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _labels(features: Features, at: np.ndarray) -> np.ndarray | None:
    """Class of each function, where there are two and each function has a row; else None."""
    rows = features.rows("judge")
    if features.unit != "sequence" or len(features.classes) != 2 or not np.isin(at, rows.inputs).all():
        return None
    of = np.zeros(int(rows.inputs.max()) + 1, np.float64)
    of[rows.inputs] = rows.labels
    return of[at]


def _vectors(features: Features, neurons: np.ndarray) -> np.ndarray:
    """Values of neurons on the judge inputs, float32 (inputs, neurons); of pairs too, one vector an input."""
    folder = features.paths.activations(features.model, features.task, "judge")
    out: list[np.ndarray] = [np.zeros(0)] * len(neurons)
    for layer in np.unique(neurons // features.width):
        vectors = read_npy(folder / f"layer_{layer:02d}.npy", mmap=True)
        for i in np.flatnonzero(neurons // features.width == layer):
            out[i] = np.asarray(vectors[:, neurons[i] % features.width])
    return np.stack(out, axis=1)


def _others(params: Params, features: Features, neurons: np.ndarray, subset: np.ndarray | None) -> np.ndarray:
    """(RANDOM, n) neurons beside the ``subset``, of the same layers; none where a layer has too few others."""
    from neurosieve.concepts.ablation import NoAblation, draw_neurons

    seed = [params.seed, zlib.crc32(b"properties"), zlib.crc32(features.model.encode())]
    try:
        return draw_neurons(features, np.sort(neurons), seed, RANDOM, subset).random
    except NoAblation:
        return np.zeros((0, 0), np.int64)

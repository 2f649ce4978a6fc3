"""Tokens of a Python function, from the pinned tree-sitter grammar: roles and scopes of names, mentions of variables,
new names, the blocks that names stand in, lexical classes, variable uses.

Reads and writes no files. All offsets are in characters of the given text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from neurosieve.prepare.syntax_tree import offsets

ROLES = (
    "VAR_LOAD",
    "ATTR",
    "VAR_STORE",
    "METHOD_CALL",
    "PARAM",
    "CALL",
    "FUNCDEF",
    "IMPORT",
    "KWARG",
    "CLASSDEF",
    "VAR_DEL",
    "OTHER",
)
LEXICAL = ("KEYWORD", "NAME", "NUMBER", "STRING", "OP", "COMMENT")

# Between a name and the node that binds it there may be any number of these.
_CONTAINERS = frozenset(
    [
        "pattern_list",
        "tuple_pattern",
        "list_pattern",
        "list_splat_pattern",
        "dictionary_splat_pattern",
        "tuple",
        "list",
        "expression_list",
        "parenthesized_expression",
        "list_splat",
    ]
)
# What binds a name: the node, and the field that the name stands in.
_STORES: frozenset[tuple[str, str | None]] = frozenset(
    {
        ("assignment", "left"),
        ("augmented_assignment", "left"),
        ("for_statement", "left"),
        ("for_in_clause", "left"),
        ("named_expression", "name"),
    }
)
_PARAMS: frozenset[tuple[str, str | None]] = frozenset(
    {("default_parameter", "name"), ("typed_default_parameter", "name"), ("typed_parameter", None)}
)
_NAMED: dict[tuple[str, str | None], str] = {
    ("keyword_argument", "name"): "KWARG",
    ("function_definition", "name"): "FUNCDEF",
    ("class_definition", "name"): "CLASSDEF",
}
SCOPES = ("PARAMETER", "LOCAL", "OUTER")
MENTIONS = ("AGAIN", "LAST")
BLOCKS = ("BODY", "BRANCH", "LOOP")
NOVELTY = ("NEW", "AGAIN")
_COMPREHENSIONS = frozenset(
    ["list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"]
)
_SCOPES = _COMPREHENSIONS | {"function_definition", "class_definition", "lambda", "type"}
_COMPOUND = frozenset(
    [
        "if_statement",
        "for_statement",
        "while_statement",
        "with_statement",
        "try_statement",
        "match_statement",
        "function_definition",
        "class_definition",
        "decorated_definition",
    ]
)
# What a block hangs on, and what it is then; `with`, `try` and `finally` say nothing of how often it is run.
_HEADS = {
    "for_statement": "LOOP",
    "while_statement": "LOOP",
    "if_statement": "BRANCH",
    "elif_clause": "BRANCH",
    "else_clause": "BRANCH",
    "except_clause": "BRANCH",
    "case_clause": "BRANCH",
}
_RECEIVERS = frozenset(("self", "cls", "_"))  # `_` is a place to throw values away, not a variable


@dataclass(frozen=True, slots=True)
class Token:
    """A labelled stretch [start, end) of a text; `label` indexes the classes of its task, such as ROLES."""

    start: int
    end: int
    text: str
    label: int


@dataclass(frozen=True, slots=True)
class Use:
    """A read of a local variable or parameter at [start, end); `others`: names that could stand there too."""

    start: int
    end: int
    name: str
    others: frozenset[str]


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


class _Text:
    """A parsed text, and the way from tree-sitter's byte offsets to characters."""

    def __init__(self, text: str) -> None:
        data = text.encode("utf-8")
        self.root = _parser().parse(data).root_node
        self.at = offsets(data)


def _field(parent: Node, child: Node) -> str | None:
    return next((parent.field_name_for_child(i) for i, c in enumerate(parent.children) if c == child), None)


def _name(node: Node) -> str:
    return (node.text or b"").decode("utf-8")


def _leaves(node: Node, whole: tuple[str, ...] = ()) -> Iterator[Node]:
    """Leaves below `node` in the order of the text; nodes of the types `whole` are not entered."""
    stack = [node]
    while stack:
        here = stack.pop()
        if here.child_count and here.type not in whole:
            stack.extend(reversed(here.children))
        elif here.end_byte > here.start_byte:
            yield here


def _called(node: Node) -> bool:
    """Whether `node` is what a call calls; the grammar reads `*f(x)` as a call of `*f`."""
    parent = node.parent
    while parent is not None and parent.type in ("parenthesized_expression", "list_splat"):
        node, parent = parent, parent.parent
    return parent is not None and parent.type == "call" and _field(parent, node) == "function"


def _is_type_call(node: Node) -> bool:
    """Whether a leaf is the `type` of a line like `type(self).x = 1`, which the grammar takes for a type alias."""
    alias = node.next_sibling
    return node.type == "type" and alias is not None and (alias.text or b"").startswith(b"(")


def _role(node: Node) -> str:
    """Role of an identifier node; see `identifiers`."""
    child, parent = node, node.parent
    assert parent is not None
    kind = parent.type
    field = _field(parent, node)
    if (kind, field) in _NAMED:
        return _NAMED[kind, field]
    if kind == "attribute" and field == "attribute":
        return "METHOD_CALL" if _called(parent) else "ATTR"
    if _called(node):
        return "CALL"
    if kind in ("global_statement", "nonlocal_statement"):
        return "OTHER"
    if kind == "keyword_pattern":
        return "KWARG"
    if kind == "splat_pattern":
        return "VAR_STORE"
    if kind == "as_pattern" and node == parent.named_children[-1]:  # `case ... as name`; elsewhere it has a target
        return "VAR_STORE"
    if kind in ("dotted_name", "aliased_import"):
        above = parent.parent
        while above is not None and above.type in ("dotted_name", "aliased_import", "relative_import"):
            above = above.parent
        if above is not None and above.type.endswith(("import_statement", "import_from_statement")):
            return "IMPORT"
        if node != parent.named_children[0]:
            return "ATTR"
        dotted = parent.named_child_count > 1 or (above is not None and above.type == "class_pattern")
        return "VAR_LOAD" if dotted else "VAR_STORE"
    if kind == "type" and parent.parent is not None:
        above = parent.parent
        if above.type == "type_alias_statement" and _field(above, parent) == "left":
            return "OTHER"
        owner = above.parent
        if above.type == "type_parameter" and owner is not None and owner.type.endswith("_definition"):
            return "OTHER"
    while parent.type in _CONTAINERS and parent.parent is not None:
        child, parent = parent, parent.parent
    field = _field(parent, child)
    if (parent.type, field) in _STORES or parent.type == "as_pattern_target":
        return "VAR_STORE"
    if (parent.type, field) in _PARAMS or parent.type in ("parameters", "lambda_parameters"):
        return "PARAM"
    return "VAR_DEL" if parent.type == "delete_statement" else "VAR_LOAD"


def identifiers(source: str) -> list[Token]:
    """Every identifier of a function (names inside f-strings too) with its role, in the order of the text.

    METHOD_CALL  `b` of `a.b(...)`                      ATTR      `b` of `a.b` read, stored or deleted
    CALL         `f` of `f(...)`, also as a decorator   KWARG     `x` of `f(x=1)` and of `case C(x=...)`
    PARAM        a parameter, `self` and `*args` too    FUNCDEF   the name after `def`
    CLASSDEF     the name after `class`                 IMPORT    every name of an import statement, aliases too
    VAR_STORE    a name bound by assignment (plain, annotated, augmented), `for`, a comprehension, `with`, `except`,
                 `:=` or a `case` pattern               VAR_DEL   `x` of `del x`
    VAR_LOAD     a name that is read: arguments, operands, annotations, decorators, base classes, `a` of `a.b`
    OTHER        names after `global` and `nonlocal`, type parameters and type aliases where they are declared
    """
    text = _Text(source)
    index = {role: i for i, role in enumerate(ROLES)}
    return [
        Token(text.at(n.start_byte), text.at(n.end_byte), _name(n), index["CALL" if n.type == "type" else _role(n)])
        for n in _leaves(text.root)
        if n.type == "identifier" or _is_type_call(n)
    ]


def lexical(source: str) -> list[Token]:
    """Every token of a function with its lexical class, in the order of the text.

    STRING is a whole literal with prefix and quotes (an f-string with all that is in it, a docstring); of two adjacent
    literals each is one. KEYWORD: reserved words, `match`, `case` and `type` where they act as such, True, False and
    None. OP: operators, brackets, delimiters and `...`. White space and line continuations are no tokens.
    """
    text = _Text(source)
    tokens = []
    for node in _leaves(text.root, whole=("string",)):
        if node.type == "line_continuation":
            continue
        word = _name(node)
        if node.type in ("string", "comment"):
            label = node.type.upper()
        elif node.type in ("integer", "float"):
            label = "NUMBER"
        elif node.type == "identifier" or word in ("_", "__future__") or _is_type_call(node):
            label = "NAME"
        else:
            label = "KEYWORD" if word.isalpha() else "OP"
        tokens.append(Token(text.at(node.start_byte), text.at(node.end_byte), word, LEXICAL.index(label)))
    return tokens


def _own(node: Node) -> Iterator[Node]:
    """Identifiers below `node` in its own scope: not in functions, classes, lambdas, comprehensions, annotations."""
    stack = [node]
    while stack:
        here = stack.pop()
        if here.type == "identifier":
            yield here
        stack.extend(child for child in reversed(here.children) if child.type not in _SCOPES)


def _bound_from(node: Node) -> int:
    """Byte from which the name bound at `node` can be read."""
    child, parent = node, node.parent
    while parent is not None:
        if parent.type in ("for_statement", "for_in_clause"):
            iterable = parent.child_by_field_name("right")
            return iterable.end_byte if iterable is not None else child.end_byte
        if parent.type in ("assignment", "augmented_assignment", "named_expression", "as_pattern", "case_pattern"):
            return parent.end_byte
        child, parent = parent, parent.parent
    return child.end_byte


def scoped_reads(source: str) -> list[Token]:
    """Names read or called in a function's own scope, with where they are bound, in the order of the text.

    PARAMETER  a parameter of the function, reassigned or not     LOCAL  bound in the function's own body
    OUTER      neither: a global, an import, a builtin or a name of an enclosing function

    Left out: `self`, `cls` and `_`, names of `global` and `nonlocal`, deleted names, and everything inside nested
    functions, classes, lambdas, comprehensions and annotations, where a name may be bound elsewhere.
    """
    text = _Text(source)
    body, parameters = _parts(text)
    if body is None or parameters is None:
        return []
    own = {_name(n) for n in _own(parameters) if _role(n) == "PARAM"}
    roles = [(n, _role(n)) for n in _own(body)]
    # a nested `def` or `class` binds its name in this scope, an import too, though `_own` does not go inside
    local = {_name(n) for n, role in roles if role in ("VAR_STORE", "IMPORT")} | _nested_names(body)
    unclear = _RECEIVERS | {_name(n) for n, role in roles if role in ("VAR_DEL", "OTHER")}
    tokens = []
    for node, role in roles:
        name = _name(node)
        if role in ("VAR_LOAD", "CALL") and name not in unclear:
            scope = "PARAMETER" if name in own else "LOCAL" if name in local else "OUTER"
            tokens.append(Token(text.at(node.start_byte), text.at(node.end_byte), name, SCOPES.index(scope)))
    return tokens


def mentions(source: str) -> list[Token]:
    """Variables of a function wherever its own scope names them: does the rest of its text name them again?

    AGAIN  the variable is read, written or called somewhere below     LAST  it is not

    Variables are the parameters and what the body binds, imports and nested definitions too. What a nested function, a
    class, a lambda or a comprehension mentions counts as a later mention, but makes no row. Left out: `self`, `cls` and
    `_`, names of `global` and `nonlocal`, deleted ones and those of `except ... as`, which go out of scope before the
    end; and names that an inner scope binds anew, where a mention may be of the other. A loop's next turn is no later
    text.
    """
    text = _Text(source)
    body, parameters = _parts(text)
    if body is None or parameters is None:
        return []
    roles = [(n, "PARAM") for n in _own(parameters) if _role(n) == "PARAM"]
    roles += [(n, _role(n)) for n in _own(body)]
    bound = {_name(n) for n, role in roles if role in ("PARAM", "VAR_STORE", "IMPORT")} | _nested_names(body)
    own = {n.start_byte for n, _ in roles}
    inner = [(n, _role(n)) for n in _leaves(body) if n.type == "identifier" and n.start_byte not in own]
    bound -= _RECEIVERS | {_name(n) for n, role in roles if role in ("VAR_DEL", "OTHER") or _is_caught(n, role)}
    # a nested definition's own name is bound in this scope
    bound -= {_name(n) for n, role in inner if role in ("PARAM", "VAR_STORE", "IMPORT", "OTHER")}
    named = ("PARAM", "VAR_LOAD", "VAR_STORE", "CALL", "FUNCDEF", "CLASSDEF", "IMPORT")
    last = {_name(n): n.start_byte for n in sorted((n for n, role in [*roles, *inner] if role in named), key=_start)}
    return [
        Token(
            text.at(n.start_byte),
            text.at(n.end_byte),
            name,
            MENTIONS.index("LAST" if last[name] == n.start_byte else "AGAIN"),
        )
        for n, role in roles
        if role in ("PARAM", "VAR_LOAD", "VAR_STORE", "CALL") and (name := _name(n)) in bound
    ]


def _start(node: Node) -> int:
    return node.start_byte


def _is_caught(node: Node, role: str) -> bool:
    """Whether a name is bound by `except ... as`, which deletes it again at the end of the clause."""
    target = node.parent
    clause = target.parent.parent if role == "VAR_STORE" and target is not None and target.parent is not None else None
    return clause is not None and clause.type == "except_clause"


def blocks(source: str) -> list[Token]:
    """Names in a function's body with the innermost block that they stand in, in the order of the text.

    LOOP    the block of a `for` or `while`, or a comprehension
    BRANCH  the block of an `if`, `elif`, `else`, `except` or `case`
    BODY    neither: the statement is run once in every call that reaches it

    `with`, `try` and `finally` are looked through. A header (the condition of an `if`, what a `for` goes through) is in
    no block of its own statement. Left out: the function's header, and what nested functions, classes and lambdas hold.
    """
    text = _Text(source)
    body, _ = _parts(text)
    if body is None:
        return []
    tokens: list[Token] = []
    stack = [(body, "BODY")]
    while stack:
        node, block = stack.pop()
        if node.type == "identifier":
            tokens.append(Token(text.at(node.start_byte), text.at(node.end_byte), _name(node), BLOCKS.index(block)))
        for child in reversed(node.children):
            if child.type in ("function_definition", "class_definition", "lambda"):
                continue
            inside = _HEADS.get(node.type) if child.type == "block" else None
            stack.append((child, "LOOP" if child.type in _COMPREHENSIONS else inside or block))
    return tokens


def misplaced(source: str) -> list[tuple[int, int]]:
    """Lines of a function that break it when they are moved by one level: (character at which the line's code begins,
    characters to the right, negative to the left), in the order of the text.

    A level is the indentation of the body. Such a line is a whole simple statement. To the right: one below another
    simple one of its block, for an indent that Python does not expect. To the left: the first of its block, which then
    is missing, or one that others follow, which then are indented for nothing; it stays within the function. The
    columns that it leaves and that it comes to are those of other statements too, so that no single line tells.
    """
    text = _Text(source)
    body, _ = _parts(text)
    level = body.start_point.column if body is not None else 0
    if body is None or not level or body.start_point.row == 0:
        return []
    lines = source.split("\n")
    found: list[tuple[int, int]] = []
    columns: Counter[int] = Counter()
    stack = [body]
    while stack:
        node = stack.pop()
        stack.extend(reversed(node.named_children))
        if node.type != "block":
            continue
        statements = [n for n in node.named_children if n.type != "comment"]
        for i, here in enumerate(statements):
            columns[here.start_point.column] += 1
            row, column = here.start_point
            simple = here.end_point.row == row and here.type not in _COMPOUND
            if not simple or lines[row][: len(lines[row]) - len(lines[row].lstrip(" "))] != " " * column:
                continue
            near = [statements[j].start_point.row == row for j in (i - 1, i + 1) if 0 <= j < len(statements)]
            if any(near):  # `a; b`
                continue
            if i and statements[i - 1].type not in _COMPOUND:
                found.append((text.at(here.start_byte), level))
            if column >= 2 * level and (i == 0 or i + 1 < len(statements)):
                found.append((text.at(here.start_byte), -level))
    column_of = {start: start - source.rfind("\n", 0, start) - 1 for start, _ in found}
    return sorted(
        (start, by) for start, by in found if columns[column_of[start]] > 1 and columns[column_of[start] + by]
    )


def first_mentions(source: str) -> list[Token]:
    """Variables and functions that a function's body names: NEW for the first time, or AGAIN, in the order of the text.

    Above counts the header too. Left out: attributes, keywords and names within strings, which make no row and count as
    no mention; `self`, `cls` and `_`.
    """
    text = _Text(source)
    body, _ = _parts(text)
    if body is None:
        return []
    tokens: list[Token] = []
    above: set[str] = set()
    for node in _leaves(text.root, whole=("string",)):
        name = _name(node)
        if node.type != "identifier" or name in _RECEIVERS:
            continue
        if _role(node) not in ("PARAM", "VAR_LOAD", "VAR_STORE", "CALL"):
            continue
        if node.start_byte >= body.start_byte:
            label = NOVELTY.index("AGAIN" if name in above else "NEW")
            tokens.append(Token(text.at(node.start_byte), text.at(node.end_byte), name, label))
        above.add(name)
    return tokens


def _parts(text: _Text) -> tuple[Node | None, Node | None]:
    """Body and parameters of the first function; None where it has none."""
    function = next((n for n in text.root.named_children if n.type == "function_definition"), None)
    if function is None:
        return None, None
    return function.child_by_field_name("body"), function.child_by_field_name("parameters")


def _nested_names(body: Node) -> set[str]:
    """Names of the functions and classes defined directly in a body."""
    found, stack = set(), [body]
    while stack:
        here = stack.pop()
        if here.type in ("function_definition", "class_definition"):
            name = here.child_by_field_name("name")
            found |= {_name(name)} if name is not None else set()
        else:
            stack.extend(here.children)
    return found


def variable_uses(source: str) -> list[Use]:
    """Reads of local variables and parameters in a function's own scope, in the order of the text.

    `others` of a use are the other variables bound above it. No variables in this sense: `self`, `cls` and `_`, names
    of `global` and `nonlocal`, names that are deleted or bound by `except ... as`, for they go out of scope again.
    No uses: callees, attributes, keywords, and everything inside nested functions, classes, lambdas, comprehensions and
    annotations, where a name may mean something else.
    """
    text = _Text(source)
    body, parameters = _parts(text)
    if body is None or parameters is None:
        return []
    bound: dict[str, int] = {_name(n): 0 for n in _own(parameters) if _role(n) == "PARAM"}
    roles = [(n, _role(n)) for n in _own(body)]
    stores: dict[str, list[int]] = defaultdict(list)
    gone = set(_RECEIVERS)
    for node, role in roles:
        if role == "VAR_STORE":
            stores[_name(node)].append(_bound_from(node))
            if _is_caught(node, role):
                gone.add(_name(node))
        elif role in ("VAR_DEL", "OTHER"):
            gone.add(_name(node))
    for name, places in stores.items():
        bound.setdefault(name, min(places))
    bound = {name: place for name, place in bound.items() if name not in gone}
    uses = []
    for node, role in roles:
        name = _name(node)
        if role == "VAR_LOAD" and name in bound:
            others = frozenset(n for n, place in bound.items() if place <= node.start_byte and n != name)
            uses.append(Use(text.at(node.start_byte), text.at(node.end_byte), name, others))
    return uses

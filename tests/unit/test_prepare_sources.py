"""Corpora in Python, Java and C, and the kind source-tokens: functions, keys, sums, classes written down by hand."""

import gzip
import json
import os
import random
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
import tree_sitter_c
import tree_sitter_java
import tree_sitter_python
from tree_sitter import Language

from neurosieve.artifacts import Paths, iter_jsonl, read_json, read_manifest, sha256_file
from neurosieve.config import SPLITS, Params, Prepare, Task
from neurosieve.prepare.corpus import extract_corpus, folder_sha256, read_corpus
from neurosieve.prepare.languages import c, java, load_language, python
from neurosieve.prepare.python_tokens import LEXICAL, ROLES, identifiers, lexical
from neurosieve.prepare.records import PrepareError
from neurosieve.prepare.syntax_tree import Place, Scopes, UnknownLeaf, words
from neurosieve.prepare.task import prepare_task
from neurosieve.prepare.tasks import source_tokens

TINY = "tests/data/tiny_source_tokens"
PACKAGES = {
    "java": {"train": ["shop"], "dev": ["garden"], "test": ["chess"]},
    "c": {"train": ["rings"], "dev": ["paint"], "test": ["clock"]},
    "python": {"train": ["bread"], "dev": ["tide"], "test": ["lamp"]},
}
ROWS = {"train": 60, "tune": 20, "judge": 30, "test": 50}
every_language = pytest.mark.parametrize("language", ["python", "java", "c"])


def params_of(corpora, tasks=None):
    """Only the blocks that the phase reads."""
    prepare = Prepare.model_validate({"corpora": corpora, "tasks": tasks or {}})
    return Params.model_construct(benchmark="b", seed=3, prepare=prepare)


def folder_of(tmp_path, files):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return tmp_path


def folder_entry(folder, language, **changed):
    return {"language": language, "folder": str(folder), "sha256": folder_sha256(folder, language), **changed}


def extracted(entry, build):
    paths = Paths("b", build)
    extract_corpus(params_of({"c": entry}), paths, corpus="c")
    return list(iter_jsonl(paths.corpus("c") / "functions.jsonl")), read_manifest(paths.corpus("c"))["facts"]


def split(text):
    return text.split(" ")


def tagged(language, text, tagset):
    """`word/TAG` of each token; every token is where its offsets say, and none overlaps the next."""
    tokens = load_language(language).tokens(text, tagset)
    assert all(text[t.start : t.end] == t.text != "" for t in tokens)
    assert all(a.end <= b.start for a, b in pairwise(tokens))
    assert {t.tag for t in tokens} <= set(load_language(language).TAGSETS[tagset])
    return [f"{t.text}/{t.tag}" for t in tokens]


# --- classes, by hand ------------------------------------------------------------------------------------------------

JAVA = """\
@Deprecated
public static <T extends Comparable<T>> int größe(final java.util.List<T> items, int... more) throws IOException {
    // grün
    int n = 0, m[] = null;
    for (T item : items) n += item.weight(2.5f) * this.factor;
    outer: while (n != 0x1F && !done) { if (n > m.length) break outer; }
    try (Reader r = open("ä\\"b")) { r.read('ü'); } catch (A | B e) { throw new Error(e); }
    Function<T, T> f = x -> x;
    if (items instanceof ArrayList list) return list.size();
    switch (n) { case LIMIT: synchronized (this) { n--; } default: Integer::parseInt; }
    int done = n > 0 ? 1 : 2;
    return (int) Math.abs(done);
}"""
JAVA_FINE = """
Deprecated/ANNOTATION public/MODIFIER static/MODIFIER T/TYPE_REF extends/KEYWORD Comparable/TYPE_REF T/TYPE_REF
int/PRIMITIVE_TYPE größe/METHOD_DECL final/MODIFIER java/PACKAGE util/PACKAGE List/TYPE_REF T/TYPE_REF items/PARAMETER
int/PRIMITIVE_TYPE more/PARAMETER throws/KEYWORD IOException/TYPE_REF
int/PRIMITIVE_TYPE n/LOCAL_VAR =/OPERATOR 0/NUMBER m/LOCAL_VAR =/OPERATOR null/BOOLEAN_NULL
for/KEYWORD T/TYPE_REF item/LOCAL_VAR items/PARAMETER n/LOCAL_VAR +=/OPERATOR item/LOCAL_VAR weight/METHOD_CALL
2.5f/NUMBER */OPERATOR this/KEYWORD factor/FIELD
outer/LABEL while/KEYWORD n/LOCAL_VAR !=/OPERATOR 0x1F/NUMBER &&/OPERATOR !/OPERATOR done/OUTER_NAME
if/KEYWORD n/LOCAL_VAR >/OPERATOR m/LOCAL_VAR length/FIELD break/KEYWORD outer/LABEL
try/KEYWORD Reader/TYPE_REF r/LOCAL_VAR =/OPERATOR open/METHOD_CALL "ä\\"b"/STRING r/LOCAL_VAR read/METHOD_CALL 'ü'/CHAR
catch/KEYWORD A/TYPE_REF B/TYPE_REF e/LOCAL_VAR throw/KEYWORD new/KEYWORD Error/TYPE_REF e/LOCAL_VAR
Function/TYPE_REF T/TYPE_REF T/TYPE_REF f/LOCAL_VAR =/OPERATOR x/PARAMETER x/PARAMETER
if/KEYWORD items/PARAMETER instanceof/KEYWORD ArrayList/TYPE_REF list/LOCAL_VAR return/KEYWORD list/LOCAL_VAR
size/METHOD_CALL
switch/KEYWORD n/LOCAL_VAR case/KEYWORD LIMIT/OUTER_NAME synchronized/KEYWORD this/KEYWORD n/LOCAL_VAR --/OPERATOR
default/KEYWORD Integer/OUTER_NAME parseInt/METHOD_CALL
int/PRIMITIVE_TYPE done/LOCAL_VAR =/OPERATOR n/LOCAL_VAR >/OPERATOR 0/NUMBER ?/OPERATOR 1/NUMBER :/OPERATOR 2/NUMBER
return/KEYWORD int/PRIMITIVE_TYPE Math/OUTER_NAME abs/METHOD_CALL done/LOCAL_VAR
"""
# Where the published classes do not follow from the fine ones.
JAVA_PUBLISHED = {
    "KEYWORD": "KEYWORD", "MODIFIER": "MODIFIER", "NUMBER": "NUMBER", "STRING": "STRING", "CHAR": "STRING",
    "PRIMITIVE_TYPE": "TYPE", "OPERATOR": None, "BOOLEAN_NULL": None,
}  # fmt: skip

C = """\
static inline const struct node *größe(int a, char *const argv[], int (*cb)(void *op), ...)
{
#if defined(FAST) && LEVEL > 2
    unsigned long long n = -1, *p = &n;
#endif
    uint8_t b[2] = { [0] = 'ü', 1 };
    struct point q = { .x = 1 };
    extern int other(int);
    for (int i = 0; i < 3; ++i) n += table->rows[i].get(a) * *p; /* für */
    if (p == NULL || !cb(argv)) goto out;
    switch (a) { case LIMIT: x = a ? (T) sizeof(b) : 0x1FuL; default: break; }
out:
    return other("ä\\n" L"b");
}"""
C_FINE = """
static/QUALIFIER inline/QUALIFIER const/QUALIFIER struct/KEYWORD node/TYPE_REF größe/FUNCTION_DECL int/PRIMITIVE_TYPE
a/PARAMETER char/PRIMITIVE_TYPE const/QUALIFIER argv/PARAMETER int/PRIMITIVE_TYPE cb/PARAMETER void/PRIMITIVE_TYPE
op/PARAMETER
#if/PREPROC defined/PREPROC FAST/PREPROC &&/OPERATOR LEVEL/PREPROC >/OPERATOR 2/NUMBER
unsigned/PRIMITIVE_TYPE long/PRIMITIVE_TYPE long/PRIMITIVE_TYPE n/LOCAL_VAR =/OPERATOR -/OPERATOR 1/NUMBER p/LOCAL_VAR
=/OPERATOR &/OPERATOR n/LOCAL_VAR #endif/PREPROC
uint8_t/TYPE_REF b/LOCAL_VAR 2/NUMBER =/OPERATOR 0/NUMBER =/OPERATOR 'ü'/CHAR 1/NUMBER
struct/KEYWORD point/TYPE_REF q/LOCAL_VAR =/OPERATOR x/FIELD =/OPERATOR 1/NUMBER
extern/QUALIFIER int/PRIMITIVE_TYPE other/FUNCTION_DECL int/PRIMITIVE_TYPE
for/KEYWORD int/PRIMITIVE_TYPE i/LOCAL_VAR =/OPERATOR 0/NUMBER i/LOCAL_VAR </OPERATOR 3/NUMBER ++/OPERATOR i/LOCAL_VAR
n/LOCAL_VAR +=/OPERATOR table/OUTER_NAME rows/FIELD i/LOCAL_VAR get/FUNCTION_CALL a/PARAMETER */OPERATOR */OPERATOR
p/LOCAL_VAR
if/KEYWORD p/LOCAL_VAR ==/OPERATOR NULL/BOOLEAN_NULL ||/OPERATOR !/OPERATOR cb/FUNCTION_CALL argv/PARAMETER
goto/KEYWORD out/LABEL
switch/KEYWORD a/PARAMETER case/KEYWORD LIMIT/OUTER_NAME x/OUTER_NAME =/OPERATOR a/PARAMETER ?/OPERATOR T/TYPE_REF
sizeof/KEYWORD b/LOCAL_VAR :/OPERATOR 0x1FuL/NUMBER default/KEYWORD break/KEYWORD
out/LABEL return/KEYWORD other/FUNCTION_CALL "ä\\n"/STRING L"b"/STRING
"""
C_PUBLISHED = {
    "KEYWORD": "KEYWORD", "QUALIFIER": "MODIFIER", "NUMBER": "NUMBER", "STRING": "STRING", "CHAR": "STRING",
    "PRIMITIVE_TYPE": "TYPE", "OPERATOR": None, "BOOLEAN_NULL": None,
}  # fmt: skip

PYTHON = '''\
@cached
async def größe(self, a: int = 1, *rest, **more):
    """Für alle."""
    x = f"ä{a!r:>{n}}ö" 'q'  # grün
    if a not in rest and self.b is not None: del x
    elif a[1:2] @ -2.5j >= more["k"]: return await self.go(x, key=True)
    for i, _ in rest: x += i ** 2 // 3
    with open(a) as handle, y: pass
    type(a).b = lambda z: z
'''
PYTHON_FINE = '''
cached/VAR_LOAD async/KEYWORD def/KEYWORD größe/FUNCDEF self/PARAM a/PARAM int/VAR_LOAD 1/NUMBER rest/PARAM more/PARAM
"""Für_alle."""/STRING
x/VAR_STORE =/OPERATOR f"ä/STRING a/VAR_LOAD n/VAR_LOAD ö"/STRING 'q'/STRING
if/KEYWORD a/VAR_LOAD not/KEYWORD in/KEYWORD rest/VAR_LOAD and/KEYWORD self/VAR_LOAD b/ATTR is/KEYWORD not/KEYWORD
None/BOOLEAN_NONE del/KEYWORD x/VAR_DEL
elif/KEYWORD a/VAR_LOAD 1/NUMBER 2/NUMBER @/OPERATOR -/OPERATOR 2.5j/NUMBER >=/OPERATOR more/VAR_LOAD "k"/STRING
return/KEYWORD await/KEYWORD self/VAR_LOAD go/METHOD_CALL x/VAR_LOAD key/KWARG True/BOOLEAN_NONE
for/KEYWORD i/VAR_STORE _/VAR_STORE in/KEYWORD rest/VAR_LOAD x/VAR_STORE +=/OPERATOR i/VAR_LOAD **/OPERATOR 2/NUMBER
//_OPERATOR 3/NUMBER
with/KEYWORD open/CALL a/VAR_LOAD as/KEYWORD handle/VAR_STORE y/VAR_LOAD pass/KEYWORD
type/CALL a/VAR_LOAD b/ATTR =/OPERATOR lambda/KEYWORD z/PARAM z/VAR_LOAD
'''
PYTHON_PUBLISHED = {
    "KEYWORD": "KEYWORD", "BOOLEAN_NONE": "KEYWORD", "NUMBER": "NUMBER", "STRING": "STRING", "OPERATOR": None,
}  # fmt: skip

EXPECTED = {
    "java": (JAVA, JAVA_FINE.split(), JAVA_PUBLISHED, "IDENT"),
    "c": (C, C_FINE.split(), C_PUBLISHED, "IDENT"),
    "python": (
        PYTHON,
        PYTHON_FINE.replace("//_", "///").replace("Für_alle", "Für alle").replace("\n", " ").strip().split(" "),
        PYTHON_PUBLISHED,
        "NAME",
    ),
}
# By word, as a lexer has it, where the fine class needs the tree.
BY_WORD = {
    "java": {"synchronized": "MODIFIER", "default": "MODIFIER"},
    "c": {"#if": None, "#endif": None, "defined": None},
    "python": {},
}


@every_language
def test_fine_classes_of_a_function_with_umlauts(language):
    text, expected, _, _ = EXPECTED[language]
    if language == "python":  # a docstring has spaces
        assert " ".join(tagged(language, text, "fine")) == " ".join(expected)
    else:
        assert tagged(language, text, "fine") == expected


@every_language
def test_published_classes_of_the_same_function(language):
    text, expected, classes, name = EXPECTED[language]
    wanted = []
    for item in " ".join(expected).replace("Für alle", "Für_alle").split(" "):
        word, _, tag = item.rpartition("/")
        tag = BY_WORD[language].get(word, classes.get(tag, name))
        wanted += [f"{word}/{tag}".replace("Für_alle", "Für alle")] if tag is not None else []
    assert tagged(language, text, "published") == wanted


def test_java_words_whose_published_class_is_that_of_the_lexer():
    text = "void m() { boolean b = true; var s = \"a\" + 'c'; long n = 07 + 0b1L; super.m(); }"
    assert tagged("java", text, "published") == split(
        "void/KEYWORD m/IDENT boolean/TYPE b/IDENT var/IDENT s/IDENT \"a\"/STRING 'c'/STRING long/TYPE n/IDENT "
        "07/NUMBER 0b1L/NUMBER super/KEYWORD m/IDENT"
    )
    assert {"void/PRIMITIVE_TYPE", "var/KEYWORD", "boolean/PRIMITIVE_TYPE"} <= set(tagged("java", text, "fine"))


def test_java_variables_have_the_role_of_the_innermost_scope_that_binds_them():
    text = """void m(int a) {
        use(b); int b = 1; { int c = b; } use(c);
        for (int i = 0; i < a; i++) {} use(i);
        new Base() { int c = 2; int d() { return c + e; } int e; void m(String b) { use(b, a); } };
        class Inner { Inner() { b = a; } }
        for (String a2 : a) a2.a();
    }"""
    assert tagged("java", text, "fine")[3:] == split(
        "a/PARAMETER use/METHOD_CALL b/OUTER_NAME int/PRIMITIVE_TYPE b/LOCAL_VAR =/OPERATOR 1/NUMBER "
        "int/PRIMITIVE_TYPE c/LOCAL_VAR =/OPERATOR b/LOCAL_VAR use/METHOD_CALL c/OUTER_NAME "
        "for/KEYWORD int/PRIMITIVE_TYPE i/LOCAL_VAR "
        "=/OPERATOR 0/NUMBER i/LOCAL_VAR </OPERATOR a/PARAMETER i/LOCAL_VAR ++/OPERATOR use/METHOD_CALL i/OUTER_NAME "
        "new/KEYWORD Base/TYPE_REF int/PRIMITIVE_TYPE c/FIELD =/OPERATOR 2/NUMBER int/PRIMITIVE_TYPE d/METHOD_DECL "
        "return/KEYWORD c/FIELD +/OPERATOR e/FIELD int/PRIMITIVE_TYPE e/FIELD void/PRIMITIVE_TYPE m/METHOD_DECL "
        "String/TYPE_REF b/PARAMETER use/METHOD_CALL b/PARAMETER a/PARAMETER class/KEYWORD Inner/CLASS_NAME "
        "Inner/METHOD_DECL b/LOCAL_VAR =/OPERATOR a/PARAMETER for/KEYWORD String/TYPE_REF a2/LOCAL_VAR a/PARAMETER "
        "a2/LOCAL_VAR a/METHOD_CALL"
    )


def test_java_bindings_end_with_their_clause_and_may_come_again():
    text = """void m(Object o) {
        try { f(); } catch (E e) { f(e); } f(e);
        if (o instanceof A a) f(a); else if (o instanceof B a) f(a);
        p.q.lower x;
    }"""
    assert tagged("java", text, "fine")[4:] == split(
        "try/KEYWORD f/METHOD_CALL catch/KEYWORD E/TYPE_REF e/LOCAL_VAR f/METHOD_CALL e/LOCAL_VAR f/METHOD_CALL "
        "e/OUTER_NAME if/KEYWORD o/PARAMETER instanceof/KEYWORD A/TYPE_REF a/LOCAL_VAR f/METHOD_CALL a/LOCAL_VAR "
        "else/KEYWORD if/KEYWORD o/PARAMETER instanceof/KEYWORD B/TYPE_REF a/LOCAL_VAR f/METHOD_CALL a/LOCAL_VAR "
        "p/PACKAGE q/PACKAGE lower/TYPE_REF x/LOCAL_VAR"
    )


def test_c_variables_have_the_role_of_the_innermost_scope_that_binds_them():
    text = """int kr(a, b) int a; char *b; {
        use(n); int n = a; { int k = n, *l = &k; } use(k, l);
        int (*call)(int in) = f; call(b); call = in;
        enum state { ON, OFF = 2 } s = ON; typedef int T; T t; asm("nop" : [r] "=r"(n));
        LIST(node) head; x = -1 - - 1; __attribute__((aligned(4))) int u;
    }"""
    assert tagged("c", text, "fine") == split(
        "int/PRIMITIVE_TYPE kr/FUNCTION_DECL a/PARAMETER b/PARAMETER int/PRIMITIVE_TYPE a/PARAMETER "
        "char/PRIMITIVE_TYPE b/PARAMETER use/FUNCTION_CALL n/OUTER_NAME "
        "int/PRIMITIVE_TYPE n/LOCAL_VAR =/OPERATOR a/PARAMETER "
        "int/PRIMITIVE_TYPE k/LOCAL_VAR =/OPERATOR n/LOCAL_VAR l/LOCAL_VAR =/OPERATOR &/OPERATOR k/LOCAL_VAR "
        "use/FUNCTION_CALL k/OUTER_NAME l/OUTER_NAME int/PRIMITIVE_TYPE call/LOCAL_VAR int/PRIMITIVE_TYPE in/PARAMETER "
        "=/OPERATOR f/OUTER_NAME call/FUNCTION_CALL b/PARAMETER call/LOCAL_VAR =/OPERATOR in/OUTER_NAME enum/KEYWORD "
        "state/TYPE_REF ON/OUTER_NAME OFF/OUTER_NAME =/OPERATOR 2/NUMBER s/LOCAL_VAR =/OPERATOR ON/OUTER_NAME "
        'typedef/KEYWORD int/PRIMITIVE_TYPE T/TYPE_REF T/TYPE_REF t/LOCAL_VAR asm/KEYWORD "nop"/STRING r/LABEL '
        '"=r"/STRING n/LOCAL_VAR LIST/PREPROC node/TYPE_REF head/LOCAL_VAR x/OUTER_NAME =/OPERATOR -/OPERATOR 1/NUMBER '
        "-/OPERATOR "
        "-/OPERATOR 1/NUMBER __attribute__/KEYWORD aligned/QUALIFIER 4/NUMBER int/PRIMITIVE_TYPE u/LOCAL_VAR"
    )
    prototype = tagged("c", "void f(void) { int g(int); h = g; }", "fine")
    assert prototype[3:] == split(
        "int/PRIMITIVE_TYPE g/FUNCTION_DECL int/PRIMITIVE_TYPE h/OUTER_NAME =/OPERATOR g/OUTER_NAME"
    )
    found = tagged("c", 'bool f(size_t n) { _Static_assert(1, ""); return true; _Bool b; }', "published")
    assert found[:4] == ["bool/TYPE", "f/IDENT", "size_t/IDENT", "n/IDENT"]
    assert found[4:] == ["_Static_assert/KEYWORD", "1/NUMBER", '""/STRING', "return/KEYWORD", "_Bool/TYPE", "b/IDENT"]


def test_python_names_have_the_roles_of_token_roles_and_classes_those_of_token_classes():
    text = PYTHON + "def two(a):\n    match a:\n        case Point(x=0) | _: print(a, end='')\n    type A = int\n"
    roles = [(t.start, t.end, ROLES[t.label]) for t in identifiers(text)]
    fine = python.tokens(text, "fine")
    others = {"KEYWORD", "BOOLEAN_NONE", "OPERATOR", "NUMBER", "STRING"}
    assert [(t.start, t.end, t.tag) for t in fine if t.tag not in others and t.text != "_"] == [
        role for role in roles if text[role[0] : role[1]] != "_"
    ]
    # token-classes takes an f-string with all that is in it for one token
    assert {type(place) for t in lexical(text) for place in (t.start, t.end)} == {int}
    plain = {(t.start, t.end): LEXICAL[t.label] for t in lexical(text) if LEXICAL[t.label] not in ("OP", "COMMENT")}
    ours = {(t.start, t.end): t.tag for t in python.tokens(text, "published")}
    assert {text[slice(*place)] for place in plain.keys() - ours.keys()} == {'f"ä{a!r:>{n}}ö"'}
    assert [text[slice(*place)] for place in sorted(ours.keys() - plain.keys())] == ['f"ä', "a", "n", 'ö"']
    assert all(ours[place] == plain[place] for place in plain.keys() & ours.keys())


def test_python_strings_side_by_side_and_in_each_other_are_tokens_of_their_own():
    text = """x = 'a''b' f"{f'{y}c'}{z}" """
    assert tagged("python", text, "published") == split(
        """x/NAME 'a'/STRING 'b'/STRING f"/STRING f'/STRING y/NAME c'/STRING z/NAME "/STRING"""
    )


def test_text_with_an_unknown_leaf_is_an_error_and_not_a_gap():
    with pytest.raises(UnknownLeaf, match="Java: no rule for the leaf 'ERROR'"):
        java.tokens("void m() { a = 1 # 2; }", "fine")


# --- every kind of leaf of the grammars has a rule -------------------------------------------------------------------

GRAMMARS = {"java": tree_sitter_java, "c": tree_sitter_c, "python": tree_sitter_python}
# Kinds of nodes that have nodes below them, or stand inside literals, which are taken whole: these need no rule. A kind
# that a newer grammar adds belongs here or in the rules of its language.
INNER = {
    "java": words("""
annotated_type annotation annotation_argument_list annotation_type_body annotation_type_declaration
annotation_type_element_declaration argument_list array_access array_creation_expression array_initializer
array_type assert_statement assignment_expression binary_expression block break_statement cast_expression
catch_clause catch_formal_parameter catch_type class_body class_declaration class_literal
compact_constructor_declaration constant_declaration constructor_body constructor_declaration
continue_statement dimensions dimensions_expr do_statement element_value_array_initializer
element_value_pair enhanced_for_statement enum_body enum_body_declarations enum_constant enum_declaration
escape_sequence explicit_constructor_invocation exports_module_directive expression_statement
extends_interfaces field_access field_declaration finally_clause floating_point_type for_statement
formal_parameter formal_parameters generic_type guard if_statement import_declaration inferred_parameters
instanceof_expression integral_type interface_body interface_declaration labeled_statement lambda_expression
local_variable_declaration marker_annotation method_declaration method_invocation method_reference modifiers
module_body module_declaration multiline_string_fragment object_creation_expression opens_module_directive
package_declaration parenthesized_expression pattern program provides_module_directive receiver_parameter
record_declaration record_pattern record_pattern_body record_pattern_component requires_modifier
requires_module_directive resource resource_specification return_statement scoped_identifier
scoped_type_identifier spread_parameter static_initializer string_fragment string_interpolation
super_interfaces superclass switch_block switch_block_statement_group switch_expression switch_label
switch_rule synchronized_statement template_expression ternary_expression throw_statement try_statement
try_with_resources_statement type_arguments type_bound type_list type_parameter type_parameters type_pattern
unary_expression update_expression uses_module_directive variable_declarator while_statement wildcard
yield_statement " \""" \\{"""),
    "c": words("""
abstract_array_declarator abstract_function_declarator abstract_parenthesized_declarator
abstract_pointer_declarator alignas_qualifier alignof_expression argument_list array_declarator
assignment_expression attribute attribute_declaration attribute_specifier attributed_declarator
attributed_statement binary_expression bitfield_clause break_statement call_expression case_statement
cast_expression character comma_expression compound_literal_expression compound_statement
concatenated_string conditional_expression continue_statement declaration declaration_list do_statement
else_clause enum_specifier enumerator enumerator_list escape_sequence expression_statement
extension_expression field_declaration field_declaration_list field_designator field_expression
for_statement function_declarator function_definition generic_expression gnu_asm_clobber_list
gnu_asm_expression gnu_asm_goto_list gnu_asm_input_operand gnu_asm_input_operand_list gnu_asm_output_operand
gnu_asm_output_operand_list gnu_asm_qualifier goto_statement if_statement init_declarator initializer_list
initializer_pair labeled_statement linkage_specification macro_type_specifier ms_based_modifier
ms_call_modifier ms_declspec_modifier ms_pointer_modifier ms_unaligned_ptr_modifier null offsetof_expression
parameter_declaration parameter_list parenthesized_declarator parenthesized_expression pointer_declarator
pointer_expression preproc_call preproc_def preproc_defined preproc_elif preproc_elifdef preproc_else
preproc_function_def preproc_if preproc_ifdef preproc_include preproc_params return_statement
seh_except_clause seh_finally_clause seh_leave_statement seh_try_statement sized_type_specifier
sizeof_expression storage_class_specifier string_content struct_specifier subscript_designator
subscript_expression subscript_range_designator switch_statement translation_unit type_definition
type_descriptor type_qualifier unary_expression union_specifier update_expression variadic_parameter
while_statement ' " L" L' U" U' u" u' u8" u8'"""),
    "python": words("""
aliased_import argument_list as_pattern as_pattern_target assert_statement assignment attribute
augmented_assignment binary_operator block boolean_operator break_statement call case_clause case_pattern
chevron class_definition class_pattern comparison_operator complex_pattern concatenated_string
conditional_expression constrained_type continue_statement decorated_definition decorator default_parameter
delete_statement dict_pattern dictionary dictionary_comprehension dictionary_splat dictionary_splat_pattern
dotted_name elif_clause else_clause escape_interpolation escape_sequence except_clause exec_statement
expression_list expression_statement finally_clause for_in_clause for_statement format_expression
format_specifier function_definition future_import_statement generator_expression generic_type
global_statement if_clause if_statement import_from_statement import_prefix import_statement interpolation
keyword_argument keyword_pattern keyword_separator lambda_parameters list list_comprehension list_pattern
list_splat list_splat_pattern match_statement member_type module named_expression nonlocal_statement
not_operator pair parameters parenthesized_expression parenthesized_list_splat pass_statement pattern_list
positional_separator print_statement raise_statement relative_import return_statement set set_comprehension
slice splat_pattern splat_type string subscript try_statement tuple tuple_pattern type_alias_statement
type_parameter typed_default_parameter typed_parameter unary_operator union_pattern union_type
while_statement wildcard_import with_clause with_item with_statement""")
    | {"is not", "not in"},
}


def rule(language, kind, tagset):
    """Class of a leaf of a kind; UnknownLeaf where there is no rule."""
    parent = Place("block", True, None, 0, 9, None, "", False)
    place = Place(kind, True, None, 0, 9, parent, "", True)
    if language == "python":
        return python._tag(place, "something", None, tagset == "fine")
    module = {"java": java, "c": c}[language]
    if tagset == "fine":
        return module._fine(place, "something", Scopes(()))
    return module._published(place, "something")


@every_language
@pytest.mark.parametrize("tagset", ["published", "fine"])
def test_every_kind_of_leaf_of_the_grammar_has_a_rule(language, tagset):
    grammar = Language(GRAMMARS[language].language())
    kinds = {grammar.node_kind_for_id(i) for i in range(grammar.node_kind_count) if grammar.node_kind_is_visible(i)}
    found = set()
    for kind in kinds:
        try:
            assert rule(language, kind, tagset) in (None, *load_language(language).TAGSETS[tagset])
        except UnknownLeaf:
            found.add(kind)
    assert found == INNER[language]


def test_each_word_of_the_grammars_has_one_rule():
    for groups in (
        (java.NO_CLASS, java.MODIFIERS, java.KEYWORDS, java.PRIMITIVES, java.OPERATORS, java.NUMBERS),
        (c.NO_CLASS, c.QUALIFIERS, c.KEYWORDS, c.TYPE_PARTS, c.OPERATORS, c.CONSTANTS, c.DIRECTIVES, c.NAMES),
        (python.NO_CLASS, python.KEYWORDS, python.CONSTANTS, python.OPERATORS, python.NUMBERS, python.NAMES),
    ):  # fmt: skip
        assert max(Counter(word for group in groups for word in group).values()) == 1


# --- functions -------------------------------------------------------------------------------------------------------


def test_java_functions_are_the_outermost_methods_and_constructors():
    text = """package p;
/** No part of it. */
class A<T> {
    int x = 1; // ä
    A(int x) { this.x = x; }
    @Override public
        String f() {
        return "ö";
    }
    abstract int g();
    static class B { void h() { new Object() { void inner() {} }; } }
    Runnable r = new Runnable() { public void run() { } };
    enum E { ONE { int k() { return 1; } }; int k() { return 0; } }
    record R(int a) { R { } int sq() { return a * a; } }
    int broken() { return 1 + ; }
}
interface I { default int d() { return 2; } int e(); }
"""
    found = java.functions(text)
    assert [(f.qualname, f.start_line, f.has_body, f.has_error) for f in found] == [
        ("A.A", 5, True, False), ("A.f", 6, True, False), ("A.g", 10, False, False), ("A.B.h", 11, True, False),
        ("A.run", 12, True, False), ("A.E.ONE.k", 13, True, False), ("A.E.k", 13, True, False),
        ("A.R.sq", 14, True, False), ("A.broken", 15, True, True), ("I.d", 17, True, False), ("I.e", 17, False, False),
    ]  # fmt: skip
    assert found[1].source == '@Override public\n    String f() {\n    return "ö";\n}'
    assert all(f.docstring is None and f.docstring_span is None for f in found)


def test_c_functions_are_found_below_directives_and_linkage_blocks():
    text = """#include <a.h>
int declared(int a);
#ifdef X
    static char *f(void) {
        return "ä";
    }
#else
int *(*g(int q))(void) { return 0; }
#endif
extern "C" { void h(a) int a; { } }
struct s { int (*k)(void); };
int broken(void) { return 1 + ; }
"""
    found = c.functions(text)
    assert [(f.qualname, f.start_line, f.has_error) for f in found] == [
        ("f", 4, False), ("g", 8, False), ("h", 10, False), ("broken", 12, True),
    ]  # fmt: skip
    assert found[0].source == 'static char *f(void) {\n    return "ä";\n}'


@pytest.mark.parametrize(
    ("language", "text", "name"),
    [
        ("java", "  // first\n  static int f(int a) {\n    return a;\n  }\n", "f"),
        ("java", "Point(int x) { this.x = x; }", "Point"),
        ("c", "\nstatic int\nf(int a)\n{\n  return a;\n}\n", "f"),
        ("python", "@dec\ndef f(a):\n    '''ä'''\n    return a\n", "f"),
    ],
)
def test_text_that_is_one_function_is_kept_as_it_is(language, text, name):
    function = load_language(language).one_function(text)
    assert (function.qualname, function.source, function.has_error) == (name, text, False)
    if language == "python":
        assert text[slice(*function.docstring_span)] == "'''ä'''"


@pytest.mark.parametrize(
    ("language", "none", "two", "broken"),
    [
        ("java", "int x;", "int f() { return 1; } int g() { return 2; }", "int f() { return 1; } }"),
        ("c", "int f(void);", "int f() { return 1; } int g() { return 2; }", "int f() { return 1; } }"),
        ("python", "x = 1", "def f(): pass\ndef g(): pass", "def f(): pass\n)"),
    ],
)
def test_text_that_is_no_function_or_two_or_broken_is_told(language, none, two, broken):
    module = load_language(language)
    assert module.one_function(none) is None and module.one_function(two) is None
    assert module.one_function(broken).has_error


# --- keys ------------------------------------------------------------------------------------------------------------

COPIES = {
    "java": (
        "int sum(List<Integer> values) {\n  int total = 0; // all\n"
        "  for (int v : values) total += v;\n  return total;\n}",
        "int add(Deque<Price> xs) { /** Adds. */\n int t=0;\n for(int x:xs) t+=x; return t; }",
        [("+=", "-="), ("= 0", "= 1"), ("int total", "long total"), ("+= v", "+= total")],
    ),
    "c": (
        "int sum(struct list *values) {\n    int total = 0; /* all */\n    return values->first + total;\n}",
        "int add(struct ring *xs) { // adds\n\tint t=0; return xs->head+t; }",
        [("+", "-"), ("= 0", "= 1"), ("int total", "long total"), ("+ total", "+ values"), ("->", ".")],
    ),
    "python": ("def f(a):\n    return a + 1", "def g(b):  # adds\n    return b+1", [("+", "-"), ("1", "2")]),
}  # fmt: skip


@every_language
def test_copies_share_the_folded_text_though_renamed_and_reformatted(language):
    one, two, changes = COPIES[language]
    folded = load_language(language).folded
    assert folded(one) == folded(two)
    for old, new in changes:
        assert old in one and folded(one.replace(old, new)) != folded(one)


# --- corpora ---------------------------------------------------------------------------------------------------------


def test_java_folder_corpus_counts_what_it_leaves_out(tmp_path):
    folder = folder_of(
        tmp_path / "code",
        {
            "Top.java": "class Top { void lost() {} }",
            "p/A.java": b"\xef\xbb\xbfclass A {\r\n  int f() {\r\n    return 1;\r\n  }\r\n  int g();\r\n}\r\n",
            "p/test/T.java": "class T { void t() {} }",
            "q/B.java": "class B { int h() { return 1; } int bad() { return ; + } }",
            "q/Latin.java": b"// caf\xe9\n",
            "q/no.py": "def f(): pass\n",
        },
    )
    rows, facts = extracted(folder_entry(folder, "java"), tmp_path / "build")
    assert [(r["package"], r["file"], r["qualname"], r["start_line"], r["source"]) for r in rows] == [
        ("p", "p/A.java", "A.f", 2, "int f() {\n  return 1;\n}"),
        ("q", "q/B.java", "B.h", 1, "int h() { return 1; }"),
    ]
    packages = facts.pop("packages")
    assert packages["q"] == {"functions": 1, "with_docstring": 0, "exact_copies": 0, "folded_copies": 1}
    assert facts == {
        "functions": 2, "with_docstring": 0, "exact_copies": 0, "folded_copies": 1, "files": 2, "test_files": 1,
        "left_out_files": {"outside_packages": 1}, "parse_errors": 1, "without_body": 1, "not_utf8": 1,
        "not_utf8_files": ["q/Latin.java"], "folder_sha256": folder_sha256(folder, "java"),
        "first_left_out": {"outside_packages": "Top.java", "parse_errors": "q/B.java:1", "test_files": "p/test/T.java",
            "without_body": "p/A.java:5"},
    }  # fmt: skip


def test_c_folder_corpus_reads_headers_and_sources_in_the_order_of_paths(tmp_path):
    rows, facts = extracted(folder_entry(f"{TINY}/c", "c"), tmp_path)
    assert [r["file"] for r in rows] == sorted(r["file"] for r in rows)
    assert {r["file"] for r in rows if r["package"] == "rings"} == {"rings/ring.c", "rings/ring.h"}
    assert (facts["functions"], facts["parse_errors"], facts["files"]) == (len(rows), 0, 6) and len(rows) == 16
    assert {len(record.exact) for record in read_corpus(Paths("b", tmp_path).corpus("c"))} == {32}


def test_sum_of_a_folder_is_of_its_paths_and_bytes_and_of_nothing_else(tmp_path):
    files = {"p/a.c": "int f(void) { return 1; }", "p/b.h": "int g(void) { return 2; }"}
    one = folder_sha256(folder_of(tmp_path / "one", files), "c")
    two = folder_of(tmp_path / "two", {**files, "p/readme.txt": "x", "p/x.py": "x = 1", "top.c": "int t;"})
    assert one == folder_sha256(two, "c") != folder_sha256(two, "python")
    changed = folder_of(tmp_path / "changed", {**files, "p/a.c": files["p/a.c"] + "\n"})
    longer = folder_of(tmp_path / "longer", {**files, "p/c.c": ""})
    assert len({one, folder_sha256(changed, "c"), folder_sha256(longer, "c")}) == 3
    moved = {"q/a.c": files["p/a.c"], "p/b.h": files["p/b.h"]}
    assert folder_sha256(folder_of(tmp_path / "moved", moved), "c") != one


def test_folder_with_no_sum_or_another_one_prints_what_to_write(tmp_path):
    found = folder_sha256(f"{TINY}/java", "java")
    for pinned, message in ((None, "is not pinned; write"), ("0" * 64, f"found sha256 {found}")):
        with pytest.raises(PrepareError, match=message) as error:
            extracted(folder_entry(f"{TINY}/java", "java", sha256=pinned), tmp_path)
        assert found in str(error.value) and str(error.value).startswith("prepare.corpora.c: tests/data/tiny")
    assert not Paths("b", tmp_path).corpus("c").exists()
    with pytest.raises(PrepareError, match=r"no-such: no such folder"):
        extract_corpus(params_of({"c": {"folder": "no-such"}}), Paths("b", tmp_path), corpus="c")


def test_folder_without_functions_of_the_language_is_told(tmp_path):
    folder = folder_of(tmp_path / "code", {"p/a.c": "int x;"})
    with pytest.raises(PrepareError, match=r"no C function in folder .* \(found files: 1\).*\.c or \.h files below"):
        extracted(folder_entry(folder, "c"), tmp_path)
    with pytest.raises(PrepareError, match=r"java: no \.c or \.h file in a sub-folder; name the folder"):
        folder_sha256(f"{TINY}/java", "c")


def table_entry(path, language, sha256=None, **columns):
    files = {"functions": {"name": path.name, "sha256": sha256 or sha256_file(path)}}
    return {"language": language, "folder": str(path.parent), "files": files, "columns": columns}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_table_of_java_methods_gives_each_row_as_it_is(tmp_path):
    texts = ["  static int f(int ä) {\n    return ä;\n  }\n", "int x;", "int g() { return ( }", "int h();"]
    texts += ["int k(int b) { return b; }"]
    rows = [{"code": text, "repo": "p", "path": f"f{i}", "more": i} for i, text in enumerate(texts)]
    path = write_rows(tmp_path / "methods.jsonl", rows)
    found, facts = extracted(table_entry(path, "java", text="code", package="repo", file="path"), tmp_path)
    assert [(r["package"], r["file"], r["qualname"], r["start_line"], r["source"]) for r in found] == [
        ("p", "p/f0", "f", 1, texts[0]),
        ("p", "p/f4", "k", 5, texts[4]),
    ]
    assert {k: v for k, v in facts.items() if isinstance(v, int) and v} == {
        "functions": 2, "files": 2, "parse_errors": 1, "without_body": 1, "rows": 5, "not_one_function": 1,
    }  # fmt: skip
    assert facts["first_left_out"] == {
        "not_one_function": "methods.jsonl:2", "parse_errors": "methods.jsonl:3", "without_body": "methods.jsonl:4",
    }  # fmt: skip
    manifest = (Paths("b", tmp_path).corpus("c") / "manifest.json").read_text()
    assert str(tmp_path) not in manifest and '"methods.jsonl"' not in manifest


def test_table_without_columns_of_packages_and_files_makes_a_file_of_each_row(tmp_path):
    path = write_rows(tmp_path / "f.jsonl", [{"text": "int f(void) { return 1; }", "id": n} for n in ("a", "b")])
    found, facts = extracted(table_entry(path, "c", name="id"), tmp_path)
    assert [(r["package"], r["file"], r["qualname"]) for r in found] == [
        ("all", "all/functions-000001", "a"), ("all", "all/functions-000002", "b"),
    ]  # fmt: skip
    assert facts["exact_copies"] == 1 and facts["packages"]["all"]["functions"] == 2


def test_changed_table_and_columns_without_a_use_are_refused(tmp_path):
    path = write_rows(tmp_path / "f.jsonl", [{"text": "int f(void) { return 1; }", "y": "a"}])
    with pytest.raises(PrepareError, match=r"prepare\.corpora\.c\.files\.functions: .*f\.jsonl: found sha256"):
        extracted(table_entry(path, "c", sha256="0" * 64), tmp_path)
    with pytest.raises(PrepareError, match=r"prepare\.corpora\.c\.columns\.label: .*write text, package, file, name"):
        extracted(table_entry(path, "c", label="y"), tmp_path)
    with pytest.raises(PrepareError, match="no Java function in the tables"):
        extracted(table_entry(write_rows(path, [{"text": "def f(): pass"}]), "java"), tmp_path)


# --- the kind --------------------------------------------------------------------------------------------------------


def prepared(tmp_path, language, **more):
    corpus = {"language": language, "folder": f"{TINY}/{language}", "licence": "MIT"}
    corpus["sha256"] = folder_sha256(corpus["folder"], language)
    entry = {"kind": "source-tokens", "corpus": "c", "packages": PACKAGES[language], "metric": "accuracy", "rows": ROWS}
    params, paths = params_of({"c": corpus}, {"t": {**entry, **more}}), Paths("b", tmp_path)
    extract_corpus(params, paths, corpus="c")
    prepare_task(params, paths, task="t")
    rows = {split: list(iter_jsonl(paths.task("t") / split / "rows.jsonl")) for split in SPLITS}
    inputs = {split: list(iter_jsonl(paths.task("t") / split / "inputs.jsonl")) for split in SPLITS}
    return read_json(paths.task("t") / "card" / "card.json"), inputs, rows


@every_language
@pytest.mark.parametrize("tagset", ["published", "fine"])
def test_rows_are_tokens_of_the_tagset_at_their_place(tmp_path, language, tagset):
    card, inputs, rows = prepared(tmp_path, language, tagset=tagset)
    assert tuple(card["classes"]) == load_language(language).TAGSETS[tagset]
    for split in SPLITS:
        assert 0 < len(rows[split]) <= ROWS[split]
        for row in rows[split]:
            text = inputs[split][row["input"]]["text"]
            assert text[row["start"] : row["end"]] == row["type"]
            tags = {(t.start, t.end): t.tag for t in load_language(language).tokens(text, tagset)}
            assert tags[row["start"], row["end"]] == card["classes"][row["label"]]


def test_classes_of_the_entry_alone_make_rows_in_their_order(tmp_path):
    card, _, rows = prepared(tmp_path, "java", classes=["TYPE", "NUMBER"], balanced=True, rows={**ROWS, "train": 10})
    assert card["classes"] == ["TYPE", "NUMBER"]
    assert Counter(row["label"] for row in rows["train"]) == {0: 5, 1: 5}
    types = {row["type"] for row in rows["test"] if row["label"] == 0}
    assert types and types <= {"int", "byte", "long", "boolean", "float", "double", "char"}


def test_class_of_another_tagset_is_refused_with_those_there():
    task = {"kind": "source-tokens", "metric": "accuracy", "rows": ROWS, "classes": ["IDENT", "LABEL"]}
    with pytest.raises(PrepareError, match=r"'LABEL', which tagset published of java has not; .*MODIFIER, IDENT"):
        source_tokens.classes(Task.model_validate(task), "java")


def test_kind_of_python_alone_refuses_a_java_corpus(tmp_path):
    with pytest.raises(PrepareError, match="'c' is of language java, which the kind 'token-roles' does not read"):
        prepared(tmp_path, "java", kind="token-roles")


def test_offsets_hold_in_texts_with_characters_of_two_to_four_bytes():
    """Names, strings and comments of a function replaced by letters that take more bytes, at random."""
    rng = random.Random(5)
    for language, (text, _, _, _) in EXPECTED.items():
        for _ in range(20):
            letters = "aäЖ漢𝒳"
            other = "".join(rng.choice(letters) if x in "äöü" else x for x in text)
            plain = tagged(language, text, "fine")
            assert [word.rpartition("/")[2] for word in tagged(language, other, "fine")] == [
                word.rpartition("/")[2] for word in plain
            ]


# --- beside the published tags ---------------------------------------------------------------------------------------

# What the lexers behind the published files call otherwise, and what this grammar does: see the languages' modules.
OTHERWISE = {"java": {"null"}, "python": {"elif", "async", "print"}}


def published_lines(language, limit):
    """Tokens and tags of lines of the published test file, those that open and close as many braces and brackets."""
    folder = Path(os.environ.get("NEUROSIEVE_DATA", "data")) / f"token_tagging_{language}"
    stem = folder / "codetest2_test_unique"
    if not folder.is_dir():
        pytest.skip(f"the published files of {language} tokens are not in {folder}")
    with gzip.open(f"{stem}.in.gz", "rt", newline="\n") as words_of, gzip.open(f"{stem}.label.gz", "rt") as tags_of:
        for line, tags in islice(zip(words_of, tags_of, strict=True), limit):
            pairs = list(zip(line.split(" "), tags.split(" "), strict=False))
            pairs = [(word, tag) for word, tag in pairs if word.strip() and tag not in ("INDENT", "DEDENT", "ENCODING")]
            if pairs:
                yield [word for word, _ in pairs], [tag for _, tag in pairs]


@pytest.mark.parametrize("language", ["java", "python"])
def test_published_classes_are_those_of_the_published_files(language):
    """Lines of the authors' own files that are a whole statement get the authors' tags, but for a few words."""
    before, after = {"java": ("void m() {\n", "\n}"), "python": ("", "")}[language]
    module = load_language(language)
    agree, other, read = 0, Counter(), 0
    for line, tags in published_lines(language, 6000):
        text = " ".join(line)
        if language == "java":
            function = module.one_function(before + text + after)
            broken = function is None or function.has_error
        else:
            broken = python._parser().parse(text.encode()).root_node.has_error
        if broken:
            continue
        read += 1
        ours = {t.start - len(before): t.tag for t in module.tokens(before + text + after, "published")}
        start = 0
        for word, tag in zip(line, tags, strict=True):
            wanted = tag if tag in module.TAGSETS["published"] else None
            if ours.get(start) == wanted:
                agree += 1
            elif word not in OTHERWISE[language] and tag != "UNKNOWN":  # hexadecimal numbers
                other[word, tag, ours.get(start)] += 1
            start += len(word) + 1
    assert read > 2000 and agree > 20000
    assert sum(other.values()) < 0.001 * agree, other.most_common(10)

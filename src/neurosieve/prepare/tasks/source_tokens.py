"""source-tokens: the class of a token of raw Python, Java or C code, by a tree-sitter grammar.

The task's `tagset` says which classes: those of arXiv 2305.00875, or finer ones, which need the syntax tree and, for
variables, the scopes. What each means stands in prepare/languages/. With `classes:` only some of them make rows, and
all other tokens are context. Published classes are weak, as METHOD 5 says of lexical ones: a lookup solves them.
"""

from __future__ import annotations

from neurosieve.config import Task
from neurosieve.prepare.languages import load_language
from neurosieve.prepare.python_tokens import Token
from neurosieve.prepare.records import PrepareError, Record
from neurosieve.prepare.sampling import Sample, Want, token_sample, too_long

UNIT = "token"
SOURCE = "corpus"
KEYS = ("tagset", "balanced", "cap_per_type", "max_rows_per_input", "leave_out")
LANGUAGES = ("python", "java", "c")
CLASSES = None
DESCRIPTION = "Which lexical class, or which finer syntactic role, a token of a function has."
PER_FILE = 1


def classes(task: Task, language: str) -> tuple[str, ...]:
    """Classes of the task's tagset for a language, or those of them that the task names, in its order."""
    known = load_language(language).TAGSETS[task.tagset]
    unknown = [name for name in task.classes or () if name not in known]
    if unknown:
        raise PrepareError(
            f"`classes:` has {unknown[0]!r}, which tagset {task.tagset} of {language} has not; write some of: "
            f"{', '.join(known)}"
        )
    return tuple(task.classes or known)


def why_not(record: Record, task: Task) -> str | None:
    return too_long(record.text, task)


def build(records: list[Record], want: Want) -> Sample:
    """Random tokens of the classes wanted, whole functions as inputs."""
    language = load_language(want.language)
    index = {name: label for label, name in enumerate(want.classes)}

    def tokens_of(text: str) -> list[Token]:
        tagged = language.tokens(text, want.tagset)
        return [Token(t.start, t.end, t.text, index[t.tag]) for t in tagged if t.tag in index]

    return token_sample(records, want, tokens_of)

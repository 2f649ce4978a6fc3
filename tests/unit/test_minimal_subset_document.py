"""docs/minimal-subset.md has the table and the pictures of the committed results."""

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("minimal_subset", Path("benchmarks/minimal_subset.py"))
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


def test_the_document_has_the_table_and_the_pictures_of_the_committed_results():
    rows = script.read(Path("results"), "default")
    text = script.DOCUMENT.read_text(encoding="utf-8")
    assert rows and script.summary(rows) in text
    for row in rows:
        name = f"minimal-subset-{row['model']}-{row['task']}.svg"
        assert (script.objectives(row) in text and name in text) == (row["bound"] is not None)
        if row["bound"] is not None:
            assert (script.DOCS / name).read_text(encoding="utf-8") == script.picture(row)

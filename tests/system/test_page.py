"""The page in a real browser (Debian's chromium): its security policy, script, both colour schemes, narrow screens."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from leaderboard_build import make_params, write_build
from PIL import Image

from neurosieve.artifacts import Paths
from neurosieve.leaderboard import build_leaderboard

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium in the PATH (apt-get install chromium)"),
]


def chromium(tmp_path: Path, html: str, *flags: str, width: int = 1280, height: int = 1600) -> tuple[str, str]:
    """stdout and stderr of a headless run on the page."""
    source = tmp_path / "page.html"
    source.write_text(html, encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}", "--hide-scrollbars",
        "--enable-logging=stderr", *flags, source.as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return run.stdout, run.stderr


def with_probe(html: str, script: str) -> str:
    """The page with a script of the test that leaves its answer in <html data-answer>; the policy must go for that."""
    html, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    assert count == 1
    return html.replace(
        "</body>", f"<script>document.documentElement.dataset.answer = String({script});</script></body>"
    )


def answer(tmp_path: Path, html: str, script: str, **size: int) -> str:
    out, _ = chromium(tmp_path, with_probe(html, script), "--dump-dom", **size)
    return re.search(r'data-answer="([^"]*)"', out)[1]


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    params, paths = make_params(), Paths("default", tmp_path_factory.mktemp("build"))
    write_build(params, paths)
    build_leaderboard(params, paths)
    return (paths.leaderboard() / "index.html").read_text(encoding="utf-8")


def test_our_style_and_script_pass_the_policy(tmp_path, html):
    out, err = chromium(tmp_path, html, "--dump-dom")
    assert '<html lang="en" class="js">' in out
    assert "16 of 16 rows</output>" in out
    assert "Content Security Policy" not in err


def test_the_policy_stops_foreign_script_style_and_requests(tmp_path, html):
    foreign = (
        "<script>document.documentElement.dataset.answer = 'ran'</script><p style='color: red'></p>"
        "<img src='http://127.0.0.1:9/x.png'></body>"
    )
    out, err = chromium(tmp_path, html.replace("</body>", foreign), "--dump-dom")
    assert "data-answer" not in out
    stopped = set(re.findall(r"following Content Security Policy directive:? \W*([a-z]+)-src", err))
    assert stopped == {"script", "style", "img"}


def test_page_works_without_script(tmp_path, html):
    code = (
        "[getComputedStyle(document.querySelector('.tools')).display,"
        " document.querySelectorAll('.board tbody tr[data-task]').length]"
    )
    bare = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert answer(tmp_path, bare, code) == "none,16"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_but_tables_scrolls_sideways(tmp_path, html, width):
    code = (
        "(() => { document.querySelectorAll('details').forEach((d) => d.open = true);"
        f" document.body.style.width = '{width}px';"  # a headless window is never narrower than 500
        " const wide = [...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll, svg, pre, .skip')"
        f" && e.getBoundingClientRect().right > {width} + 0.5);"
        " return wide.map((e) => e.tagName + '.' + e.className).slice(0, 5); })()"
    )
    assert answer(tmp_path, html, code, width=width) == ""


@pytest.mark.parametrize("width", [1200, 1400])
def test_E6_nothing_of_the_leaderboard_is_cut(tmp_path, html, width):
    """Also with names, statuses, sizes and lists of layers longer than the made-up ones; nor is the script's sign."""
    for old, new in (
        ("neurosieve-base", "a_model_whose_name_has_no_hyphen_and_forty_letters"),
        ("surface</span>", "no untrained twin</span>"),
        ("of 3,456<", "of 135,168<"),
        ("about 120", "about 120,345"),
        ("0, 2‑4", "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26"),
    ):
        assert old in html
        html = html.replace(old, new)
    code = (
        "(() => { const s = document.querySelector('.board').closest('.scroll');"
        " return [s.scrollWidth - s.clientWidth, document.documentElement.scrollWidth]; })()"
    )
    assert answer(tmp_path, html, code, width=width) == f"0,{width}"


def test_N9_columns_that_sort_are_signed_before_a_click(tmp_path, html):
    code = (
        "[...document.querySelectorAll('.board th[data-key]')]"
        ".map((h) => getComputedStyle(h.querySelector('.sort'), '::after'))"
        ".every((s) => s.opacity >= 0.5 && s.content !== 'none')"
    )
    assert answer(tmp_path, html, code) == "true"


def test_N9_docs_are_found_from_results_and_from_build(tmp_path, html):
    for folder in ("results/default", "build/default/leaderboard"):
        place = tmp_path / folder
        place.mkdir(parents=True)
        code = "document.querySelector('#reproduce ~ p a').href"
        found = answer(place, html, code)
        assert found == (tmp_path / "docs" / "reproduce.md").as_uri()


def test_labels_of_charts_stay_in_their_figures(tmp_path, html):
    code = (
        "[...document.querySelectorAll('figure svg text')].filter((t) => { const a = t.getBoundingClientRect(),"
        " b = t.closest('figure').getBoundingClientRect(); return a.width && (a.left < b.left || a.right > b.right); })"
        ".map((t) => t.lastChild.data)"
    )
    assert answer(tmp_path, html, code) == answer(tmp_path, html, code, width=500) == ""


def test_sorting_and_filtering(tmp_path, html):
    code = (
        "(() => { const order = () => [...document.querySelector('.board tbody').querySelectorAll('tr[data-task]')]"
        ".map((r) => r.querySelector('[data-of=untrained]').dataset.v).join(' ');"
        " const head = document.querySelector('th[data-key=untrained]'), button = head.querySelector('button');"
        " button.click(); const up = order() + ' ' + head.getAttribute('aria-sort'); button.click();"
        " const down = order() + ' ' + head.getAttribute('aria-sort');"
        " const notes = [...document.querySelectorAll('.board .note')]"
        ".every((n) => n.previousElementSibling.dataset.task);"
        " const task = document.querySelector('.tools select[name=task]'); task.value = 'doc-match';"
        " task.dispatchEvent(new Event('change'));"
        " return [up, down, document.querySelector('output').textContent,"
        " [...document.querySelectorAll('.board tbody')].filter((b) => b.getBoundingClientRect().height).length, notes]"
        ".join('|'); })()"
    )
    up, down, count, groups, notes = answer(tmp_path, html, code).split("|")
    assert up == "0.543 0.583   ascending"  # missing ones last, either way
    assert down == "0.583 0.543   descending"
    assert count == "4 of 16 rows" and groups == "1" and notes == "true"


@pytest.mark.parametrize(("scheme", "flag"), [("light", 1), ("dark", 0)])
def test_pictures_in_both_schemes(tmp_path, html, scheme, flag):
    picture = tmp_path / "page.png"
    chromium(tmp_path, html, f"--screenshot={picture}", f"--blink-settings=preferredColorScheme={flag}", height=2400)
    image = Image.open(picture).convert("RGB")
    assert image.size == (1280, 2400)
    corner = image.getpixel((2, 2))
    assert max(corner) < 40 if scheme == "dark" else min(corner) > 240
    below = image.crop((0, 1200, 1280, 2400)).getcolors(1 << 24)
    assert len(below) > 50  # text, lines and marks, not an empty page

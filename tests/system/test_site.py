"""The site in a real browser (Debian's chromium), from disk and from a static server."""

from __future__ import annotations

import functools
import http.server
import io
import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from browser import CHROMIUM, DRIVER, Browser
from PIL import Image
from site_build import make_older, rename, write_leaderboard

from neurosieve.leaderboard import draws
from neurosieve.site import make_site, pages
from neurosieve.site.read import Results, read_results

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="needs chromium and chromedriver in the PATH (apt-get install chromium chromium-driver)",
    ),
]
LONG = "a_model_whose_name_has_no_hyphen_and_forty_letters"
ROWS = "[...document.querySelectorAll('.board tbody tr:not([hidden])')]"
OVERFLOW = """
document.querySelectorAll('details:not(.why)').forEach((one) => one.open = true);
return [...document.querySelectorAll('body *')].filter((one) =>
  !one.closest('.scroll, .filters, svg, pre, .skip, .quiet, .why, .board thead') &&
  one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.tagName + '.' + one.className).slice(0, 5)
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The made-up benchmark, and a second one as an older release left it, with a long name in it."""
    root = tmp_path_factory.mktemp("site")
    one, two = write_leaderboard(root / "one"), write_leaderboard(root / "two")
    rename(two, {"default": "older", "minilm": LONG})
    make_older(two)
    make_site([one, two], root / "site")
    return root / "site"


@pytest.fixture(scope="module")
def server(folder):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def browser(window):
    window.look()
    yield window


@pytest.fixture(params=["disk", "server"])
def site(request, folder) -> str:
    return folder.as_uri() if request.param == "disk" else request.getfixturevalue("server")


def rows(browser, key: str = "model") -> list[str]:
    return browser.run(f"return {ROWS}.map((row) => row.dataset.{key})")


def cells(browser, key: str) -> list[str]:
    place = f"[...document.querySelectorAll('.board thead th')].findIndex((h) => h.dataset.key === '{key}')"
    return browser.run(f"const i = {place}; return {ROWS}.map((row) => row.cells[i].dataset.v)")


def test_every_kind_of_page_draws_without_complaint_and_asks_for_nothing_else(browser, site, folder):
    names = ["index.html", "benchmarks.html", "reading.html", "compare.html"]
    names += [
        str(sorted((folder / kind).glob("*.html"))[0].relative_to(folder)) for kind in ("rows", "models", "tasks")
    ]
    names.append("rows/default__neurosieve-base__token-roles.html")
    browser.complaints(), browser.addresses()
    for name in names:
        browser.open(f"{site}/{name}")
        if browser.run("return document.querySelectorAll('figure.chart').length"):
            # charts are drawn when they come in sight; a page that has just been opened may still move to its top
            scroll = "document.querySelectorAll('figure.chart').forEach((one) => one.scrollIntoView())"
            browser.wait(f"({scroll}, document.querySelector('figure.chart svg'))")
        faults = "[...document.querySelectorAll('figure.chart')].map((f) => f.dataset.error || f.dataset.warnings)"
        assert browser.run(f"return {faults}.filter(Boolean)") == [], name
    assert browser.complaints() == []
    elsewhere = [one for one in browser.addresses() if not one.startswith((site, "about:", "data:"))]
    assert elsewhere == []


def test_a_policy_stops_what_is_not_of_the_site(browser, folder, tmp_path):
    text = (folder / "reading.html").read_text()
    foreign = (
        "<script>document.title = 'ran'</script><p style='color: red'></p><img src='http://127.0.0.1:9/x.png'></main>"
    )
    (folder / "foreign.html").write_text(text.replace("</main>", foreign))
    browser.complaints(), browser.open((folder / "foreign.html").as_uri())
    stopped = " ".join(browser.complaints())
    (folder / "foreign.html").unlink()
    assert browser.run("return document.title") != "ran"
    assert all(f"{kind}-src" in stopped for kind in ("script", "style", "img"))


def test_sorting_filtering_and_the_back_button(browser, site):
    browser.open(f"{site}/index.html")
    assert len(rows(browser)) == 32
    first = rows(browser)
    browser.run("document.querySelector('th[data-key=untrained] button').click()")
    head = "document.querySelector('th[data-key=untrained]').getAttribute('aria-sort')"
    known = [float(value) for value in cells(browser, "untrained") if value]
    assert known == sorted(known, reverse=True) and browser.run(f"return {head}") == "descending"
    assert cells(browser, "untrained")[len(known) :] == [""] * (32 - len(known))  # missing ones last, either way
    browser.run("document.querySelector('th[data-key=untrained] button').click()")
    known = [float(value) for value in cells(browser, "untrained") if value]
    assert known == sorted(known) and cells(browser, "untrained")[-1] == ""
    choose = "const s = document.querySelector('select[name={}]'); s.value = '{}'; s.dispatchEvent(new Event('change'))"
    browser.run(choose.format("task", "doc-match"))
    assert set(rows(browser, "task")) == {"doc-match"} and len(rows(browser)) == 8
    assert browser.run("return document.querySelector('output').textContent") == "8 of 32 rows"
    browser.run(choose.format("benchmark", "older"))
    assert len(rows(browser)) == 4
    assert browser.run("return location.hash") == "#sort=untrained&task=doc-match&benchmark=older"
    browser.back()
    assert len(rows(browser)) == 8
    browser.back()
    browser.back()
    browser.back()
    assert rows(browser) == first and browser.run("return document.querySelector('[aria-sort]')") is None


def test_a_view_has_an_address(browser, site):
    browser.open(f"{site}/index.html#benchmark=default&q=MINILM+doc&sort=-oracle")
    assert rows(browser) == ["minilm", "minilm-untrained"]
    assert browser.run("return document.querySelector('input[name=q]').value") == "MINILM doc"
    browser.run("document.querySelector('.reset').click()")
    assert len(rows(browser)) == 32 and browser.run("return location.hash") == ""


def test_a_row_opens_and_leads_back(browser, site):
    browser.open(f"{site}/index.html#task=token-roles")
    browser.run("document.querySelector('.board tbody tr:not([hidden]) th a').click()")
    browser.wait("document.querySelector('.keys')")
    assert browser.run("return document.querySelector('h1').textContent") == "neurosieve-base on token-roles"
    browser.back()
    browser.wait("document.querySelector('.board')")
    assert set(rows(browser, "task")) == {"token-roles"}


def test_notes_open_one_at_a_time_and_close_with_escape(browser, site):
    browser.open(f"{site}/index.html")
    count = "return document.querySelectorAll('details.why[open]').length"
    browser.run("[...document.querySelectorAll('.why summary')].slice(0, 2).forEach((one) => one.click())")
    browser.wait("document.querySelectorAll('details.why[open]').length === 1")
    browser.run("dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert browser.run(count) == 0


def test_two_rows_are_compared(browser, site):
    a, b = "default__neurosieve-base__token-roles", "default__minilm__token-roles"
    browser.complaints()
    browser.open(f"{site}/compare.html#a={a}&b={b}")
    browser.wait("document.querySelector('#comparison .chart svg')")
    text = browser.run("return document.querySelector('#comparison').textContent")
    assert "What differs in what made them" in text and ", p 0." in text  # by the paired bootstrap
    first = browser.run("return document.querySelector('#comparison thead th').textContent")
    assert first == "A: neurosieve-base"
    browser.run("document.querySelector('.swap').click()")
    browser.wait("document.querySelector('#comparison thead th').textContent === 'A: minilm'")
    assert browser.run("return location.hash") == f"#a={b}&b={a}"
    browser.run("const s = document.querySelector('select[name=b]'); s.value = 'older__neurosieve-base__token-roles';"
                "s.dispatchEvent(new Event('change'))")  # fmt: skip
    browser.wait("document.querySelector('#comparison .notes')")  # of another benchmark: nothing is tested
    assert ", p 0." not in browser.run("return document.querySelector('#comparison').textContent")
    browser.back()
    browser.wait("document.querySelector('#comparison thead th').textContent === 'A: minilm'")
    browser.wait("!document.querySelector('#comparison .notes')")
    assert browser.complaints() == []


def test_two_models_are_compared(browser, site):
    a, b = "default__neurosieve-base", "default__minilm"
    browser.complaints()
    browser.open(f"{site}/models/{a}.html")
    browser.run("document.querySelector('.links a').click()")
    browser.wait("document.querySelector('.pick')")
    browser.run(
        f"const s = document.querySelector('select[name=b]'); s.value = '{b}'; s.dispatchEvent(new Event('change'))"
    )
    browser.wait("document.querySelectorAll('#comparison .chart svg').length === 2")
    assert browser.run("return location.hash") == f"#a={a}&b={b}"
    scores = browser.run(
        "const all = [...document.querySelectorAll('#comparison table')];"
        "const one = all.find((table) => table.caption?.textContent === 'All neurons, test');"
        "return [...one.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert scores[0][1:] == ["A: neurosieve-base", "B: minilm", "B − A"]
    tasks = [line[0] for line in scores[1:]]
    assert len(tasks) == 4 and all("], p " in line[3] for line in scores[1:])  # each by the paired bootstrap
    # the figures are those of the rows' own comparison
    told = dict(zip(tasks, (line[1:] for line in scores[1:]), strict=True))["token-roles"]
    browser.run(
        "[...document.querySelectorAll('#comparison .links a')].find((a) => a.textContent === 'token-roles').click()"
    )
    browser.wait("document.querySelector('#pair-curves svg')")
    row = browser.run(
        "const all = [...document.querySelectorAll('#comparison tbody tr')];"
        "const one = all.find((row) => row.cells[0].textContent === 'All neurons, test');"
        "return [...one.cells].map((cell) => cell.textContent)"
    )
    assert row[1:] == told
    browser.back()
    browser.wait("document.querySelector('#models-differences svg')")
    # another benchmark: nothing is tested; of a row and a model, the row and that of the model on its task
    browser.open(f"{site}/compare.html#a={a}&b=older__neurosieve-base")
    browser.wait("document.querySelector('#comparison .notes')")
    assert ", p " not in browser.run("return document.querySelector('#comparison').textContent")
    browser.open(f"{site}/compare.html#a={a}__token-roles&b={b}")
    browser.wait("document.querySelector('#pair-curves svg')")
    assert browser.complaints() == []


def test_two_revisions_are_paired_by_their_replicates(browser, tmp_path):
    """The same run twice, of which one has 0.25 less of a score in every draw, and ten neurons more."""
    now, before = write_leaderboard(tmp_path / "now"), write_leaderboard(tmp_path / "before")
    name = "minilm__token-roles"
    row = json.loads((before / f"rows/{name}.json").read_text())
    drawn = draws.from_csv((before / f"draws/{name}.csv").read_text())
    row["oracle"] -= 0.25
    row["n_minimal"] += 10
    changed = {**drawn, "score": drawn["score"] - 0.25, "n_minimal": drawn["n_minimal"] + 10}
    (before / f"rows/{name}.json").write_text(json.dumps(row))
    (before / f"draws/{name}.csv").write_text(draws.to_csv(changed))
    make_site([now, before], tmp_path / "site")
    browser.complaints()
    browser.open((tmp_path / "site/compare.html").as_uri())
    for select, at in (("a", 1), ("b", 0)):
        browser.run(
            f"const s = document.querySelector('select[name={select}]');"
            "const found = [...s.options].filter((one) => /minilm · token-roles/.test(one.textContent));"
            f"s.value = found[{at}].value; s.dispatchEvent(new Event('change'))"
        )
    browser.wait("document.querySelector('#pair-curves svg')")
    lines = dict(
        browser.run(
            "const all = [...document.querySelectorAll('#comparison tbody tr')];"
            "return all.map((row) => [row.cells[0].textContent, row.cells[3]?.textContent])"
        )
    )
    assert lines["All neurons, test"].startswith("+0.250 [+0.250, +0.250], p 0.002 (not adjusted)")
    assert lines["Neurons"].startswith("−10 [−10, −10]; ") and lines["Subset, test"].startswith("0.000 [0.000, 0.000]")
    text = browser.run("return document.querySelector('#comparison .notes').textContent")
    assert text.startswith("Of other results on the same rows:")
    browser.run("document.querySelector('.swap').click()")
    browser.wait("/−0.250/.test(document.querySelector('#comparison').textContent)")
    assert "+10 [+10, +10]" in browser.run("return document.querySelector('#comparison').textContent")
    assert browser.complaints() == []


def test_the_link_to_the_content_leaves_the_view_as_it_is(browser, site):
    for page, shown in (
        ("index.html#task=doc-match", ".board"),
        ("compare.html#a=default__minilm__doc-match&b=default__minilm__token-roles", "#comparison .chart svg"),
    ):
        browser.open(f"{site}/{page}")
        browser.wait(f"document.querySelector('{shown}')")
        browser.run("document.querySelector('.skip').click()")
        assert browser.run("return document.activeElement.id") == "main"
        assert browser.run("return location.hash") == page[page.index("#") :]


def test_what_differs_between_results_and_what_is_not_common_is_told(browser, site):
    browser.open(f"{site}/compare.html#a=default__minilm__doc-match")
    browser.run("const s = document.querySelector('select[name=b]');"
                "s.value = [...s.options].find((one) => /^older.*doc-match$/.test(one.value)).value;"
                "s.dispatchEvent(new Event('change'))")  # fmt: skip
    browser.wait("document.querySelector('#comparison .chart svg')")
    text = browser.run("return document.querySelector('#comparison').textContent")
    assert "Of different tasks, results or protocols" in text and "What differs in what made them" in text
    browser.open(f"{site}/compare.html#a=default__minilm__doc-match&b=default__minilm__nothing")
    browser.wait("document.querySelector('#comparison .notes')")
    assert "Choose two" in browser.run("return document.querySelector('[role=status]').textContent")
    # going through a choice by keyboard is one step back
    browser.open(f"{site}/compare.html")
    browser.run("const s = document.querySelector('select[name=a]'); s.focus();"
                "for (const i of [1, 2, 3]) { s.selectedIndex = i; s.dispatchEvent(new Event('change')) }")  # fmt: skip
    assert browser.run("return location.hash") != ""
    browser.back()
    assert browser.run("return location.hash") == ""
    # paper is white, also for pictures that came later
    browser.look(scheme="dark")
    browser.open(f"{site}/compare.html#a=default__minilm__doc-match&b=default__minilm__token-roles")
    browser.wait("document.querySelector('#comparison .chart[data-drawn=dark]')")
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert set(browser.run("return [...document.querySelectorAll('.chart')].map((c) => c.dataset.drawn)")) == {"light"}
    assert "Figures" in browser.run("return document.querySelector('#comparison .chart details').textContent")


def test_a_phone_sorts_by_a_choice(browser, site):
    browser.look(width=390)
    browser.open(f"{site}/index.html")
    shown = "return getComputedStyle(document.querySelector('.order')).display"
    assert browser.run(shown) != "none"
    assert browser.run("return getComputedStyle(document.querySelector('thead button')).visibility") == "hidden"
    browser.run(
        "const s = document.querySelector('select[name=sort]'); s.value = '-oracle';"
        "s.dispatchEvent(new Event('change'))"
    )
    known = [float(value) for value in cells(browser, "oracle") if value]
    assert known == sorted(known, reverse=True) and browser.run("return location.hash") == "#sort=-oracle"
    browser.look()
    assert browser.run(shown) == "none"


@pytest.mark.parametrize("width", [390, 768, 1200, 1280])
def test_nothing_is_cut(browser, folder, width):
    browser.look(width)
    for name in ("index.html", "benchmarks.html", "reading.html", f"rows/older__{LONG}__token-roles.html",
                 "tasks/default__token-roles.html", f"models/older__{LONG}.html"):  # fmt: skip
        browser.open((folder / name).as_uri())
        assert browser.run(OVERFLOW) == [], name


def test_without_script_the_pages_are_whole(browser, folder):
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open((folder / "index.html").as_uri())
        shown = "return [...document.querySelectorAll('.board tbody tr')].filter((r) => r.offsetHeight).length"
        assert browser.run(shown) == 32
        assert browser.run("return document.querySelector('.tools').offsetHeight") == 0
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_in_both_schemes(browser, folder, scheme, width):
    browser.look(width, scheme=scheme)
    browser.open((folder / "rows" / "default__neurosieve-base__token-roles.html").as_uri())
    browser.wait(f"document.querySelector('figure.chart')?.dataset.drawn === '{scheme}'")
    image = Image.open(io.BytesIO(browser.picture())).convert("RGB")
    corner = image.getpixel((2, 2))
    assert max(corner) < 40 if scheme == "dark" else min(corner) > 240
    assert len(image.getcolors(1 << 24)) > 50  # text, lines and marks, not an empty page


def test_a_thousand_rows(browser, folder, tmp_path):
    """Fifty models on twenty tasks; how long it takes is written out, and judged only where it would be hopeless."""
    one = read_results(folder.parent / "one" / "build" / "default" / "leaderboard")
    many = [
        {**one.rows[(m + t) % 16], "model": f"model-{m:02d}", "task": f"task-{t:02d}", "control_of": None}
        for m in range(50)
        for t in range(20)
    ]
    large = Results(one.name, one.folder, one.facts, {}, many)
    (group,) = pages._groups([large])
    index = pages._index(pages._Site([group]), pages._places(large, group, pages._most([large])))
    shutil.copytree(folder / "assets", tmp_path / "assets")
    (tmp_path / "index.html").write_text(index, encoding="utf-8")
    start = time.monotonic()
    browser.open((tmp_path / "index.html").as_uri())
    assert browser.run("return document.querySelector('output').textContent") == "1000 rows"
    took = time.monotonic() - start
    print(json.dumps({"seconds until 1,000 rows can be used": round(took, 2)}))
    assert took < 30
    for _ in range(30):
        browser.run("scrollTo(0, document.body.scrollHeight)")
        if len(rows(browser)) == 1000:
            break
        time.sleep(0.1)
    assert len(rows(browser)) == 1000  # all of them, as one scrolls on

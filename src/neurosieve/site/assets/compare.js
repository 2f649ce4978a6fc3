/* Two rows or two models side by side. What it needs of a row lies in compare/<task>.js, which is put into the page when
   a row of the task, or a model that has one, is chosen: a page on disk may load scripts and not fetch json. What is
   chosen stands in the address after #. Differences are B less A, as `neurosieve compare A B` has them. */
"use strict";

(() => {
  document.documentElement.classList.add("js");
  const selects = [...document.querySelectorAll(".pick select")];
  const place = document.getElementById("comparison");
  const said = document.querySelector("[role=status]");
  const given = JSON.parse(document.getElementById("compare-given").textContent);
  const rows = new Map();
  const pairs = { score: [], subset: [], n_minimal: [] };
  const asked = new Set();
  const NONE = "–";

  globalThis.neurosieveCompare = {
    add(found) {
      for (const [slug, row] of Object.entries(found.rows)) rows.set(slug, { ...row, slug, settings: { ...found.made, ...row.settings } });
      for (const kind of Object.keys(pairs)) pairs[kind].push(...found.pairs[kind]);
    },
  };

  /* An element with text or elements in it; nothing is read as markup. */
  function make(name, attributes = {}, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...inside);
    return element;
  }

  function load(file) {
    if (asked.has(file)) return Promise.resolve();
    return new Promise((done, failed) => {
      const script = make("script", { src: file });
      script.addEventListener("load", () => (asked.add(file), done()));
      script.addEventListener("error", () => failed(new Error(`${file} is not there; make the site again`)));
      document.head.append(script);
    });
  }

  const signed = (value, digits) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(digits)}`;
  const whole = (value) => signed(value, 0);
  const same = (a, b) => ["of", "results", "protocol"].every((key) => a[key] === b[key]);

  /* What is known of the two together, turned so that it speaks of b - a; comparisons.json has first - second. */
  function paired(kind, a, b) {
    if (a.slug === b.slug) return null;
    const pair = pairs[kind].find((p) => [p.a, p.b].includes(a.slug) && [p.a, p.b].includes(b.slug));
    if (!pair || pair.a === b.slug) return pair ?? null;
    const turned = { ...pair, difference: -pair.difference };
    const negative = (end) => (end === null ? null : -end);
    if ("low" in pair) [turned.low, turned.high] = [negative(pair.high), negative(pair.low)];
    return turned;
  }

  /* The same as text: the difference, and whether the two are told apart. */
  function known(kind, a, b) {
    const pair = paired(kind, a, b);
    if (!pair) return null;
    if (kind === "n_minimal") {
      // an end is null where it is beyond every size; results of earlier releases have none
      const ends = "low" in pair ? ` [${pair.low === null ? "−∞" : whole(pair.low)}, ${pair.high === null ? "+∞" : whole(pair.high)}]` : "";
      return `${whole(pair.difference)}${ends}; ${pair.different ? "intervals are disjoint" : "not told apart"}`;
    }
    const p = pair.p_holm === null ? `${pair.p.toFixed(3)} (not adjusted)` : pair.p_holm.toFixed(3);
    return `${signed(pair.difference, 3)} [${signed(pair.low, 3)}, ${signed(pair.high, 3)}], p ${p}`;
  }

  /* Whether anything is known of the two together though they are of two results. */
  const drawnAlike = (a, b) => !same(a, b) && Object.keys(pairs).some((kind) => paired(kind, a, b));

  const PAIRED = { oracle: "score", subset_test: "subset", n_minimal: "n_minimal" };

  function difference(key, a, b) {
    const [x, y] = [a.figures[key][0], b.figures[key][0]];
    if (x === null || y === null) return NONE;
    const told = PAIRED[key] && known(PAIRED[key], a, b);
    if (told) return told;
    if (a.protocol !== b.protocol) return NONE;
    const counted = key.startsWith("n_");
    // scores of two metrics have no difference
    if (!counted && key !== "share" && a.metric !== b.metric) return NONE;
    return counted ? whole(y - x) : key === "share" ? `${signed(100 * (y - x), 1)} points` : signed(y - x, 3);
  }

  function plainTable(heads, lines, ...first) {
    const head = make("tr", {}, ...heads.map((text) => (text ? make("th", { scope: "col" }, text) : make("td"))));
    const body = lines.map(([name, ...cells]) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))),
    );
    return make("table", { class: "plain" }, ...first, make("thead", {}, head), make("tbody", {}, ...body));
  }

  function table(caption, heads, lines) {
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      plainTable(["", ...heads], lines, make("caption", {}, make("b", {}, caption))));
  }

  /* A picture with its figures: the specification made of stand-ins, with what was chosen in their places. `found` has
     `metric`, the sets of data by a key that only their figures have, the domains of scales by those of the stand-ins,
     the scale of scores where it is cut, and the `table`: heads, then lines. */
  function picture(of, found) {
    const put = (value, key) => {
      if (Array.isArray(value)) {
        if (key === "values" && typeof value[0] === "object")
          return Object.entries(found.values).find(([name]) => name in value[0])?.[1] ?? value;
        if (key === "values") return found.ticks;
        if (key === "domain") return found.domains[value.join()] ?? value;
        return value.map((one) => put(one));
      }
      if (key === "scale" && value.zero === false && found.cut) return found.cut;
      if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, put(v, k)]));
      return typeof value === "string" ? value.replace("METRIC", found.metric) : value;
    };
    const text = of.text.replace("METRIC", found.metric);
    const made = put(of.spec);
    if (found.lines) made.height *= found.lines;
    const spec = make("script", { type: "application/json", id: `${of.key}-spec` });
    spec.textContent = JSON.stringify(made);
    const figures = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Figures: ${of.title}` }, plainTable(...found.table));
    return make("figure", { class: "chart", id: of.key, "data-spec": `#${of.key}-spec` },
      make("figcaption", {}, make("h3", {}, of.title), make("p", { class: "fine" }, text)),
      make("div", { class: "plot", role: "img", "aria-label": `${of.title}. ${text}` }), spec,
      make("details", {}, make("summary", {}, "Figures"), figures));
  }

  /* What pictures of both kinds need: names of the series, and the axis of numbers of neurons. */
  function axes(names, of) {
    const largest = Math.max(...of.map((row) => row.n_neurons));
    const ticks = [];
    for (let n = 1; n <= largest; n *= 10) ticks.push(n);
    return { ticks, domains: { "A,B": names, "1,1000": [1, largest] } };
  }

  function picturesOfRows(names, a, b) {
    const both = [[a, names[0]], [b, names[1]]];
    const score = both.flatMap(([row, series]) => row.curve.map(([n, score]) => ({ series, n, score })));
    const what = both.filter(([row]) => row.minimum[0] !== null).map(([row, series]) => ({ series, n: row.minimum[0], what: row.minimum[1] }));
    const share = both.flatMap(([row, series]) => {
      const all = row.layers.reduce((sum, n) => sum + n, 0);
      return row.layers.map((count, layer) => ({ series, layer, count, share: all ? count / all : 0 }));
    });
    const scores = score.map((one) => one.score);
    const cut = Math.min(...scores) < given.lowest ? { domain: [given.lowest, Math.max(0, ...scores)], clamp: true, nice: true } : null;
    const base = { ...axes(names, [a, b]), metric: a.metric, values: { score, what, share }, cut };
    const sizes = [...new Set(score.map((one) => one.n))].sort((x, y) => x - y);
    const at = (row, n) => row.curve.find(([size]) => size === n)?.[1].toFixed(3) ?? "";
    const tables = {
      "pair-curves": [["neurons", ...names], sizes.map((n) => [n.toLocaleString("en"), at(a, n), at(b, n)])],
      "pair-layers": [["layer", ...names], [...Array(Math.max(a.layers.length, b.layers.length)).keys()].map((i) => [i, a.layers[i] ?? "", b.layers[i] ?? ""])],
    };
    const can = (of) => of.key === "pair-layers" ? both.every(([row]) => row.layers.some(Boolean)) : both.every(([row]) => row.curve.length) && a.metric === b.metric;
    return given.pictures.rows.filter(can).map((of) => picture(of, { ...base, table: tables[of.key] }));
  }

  function picturesOfModels(names, matched) {
    const scored = matched.filter(([a, b]) => a.metric === b.metric && [a, b].every((row) => row.figures.oracle[0] !== null));
    const apart = scored.map(([a, b]) => {
      const plain = { difference: b.figures.oracle[0] - a.figures.oracle[0], low: null, high: null, p_holm: 1 };
      const { difference: of, low, high, p_holm } = paired("score", a, b) ?? plain;
      return { task: a.of, difference: of, low, high, apart: p_holm !== null && p_holm <= 0.05, what: difference("oracle", a, b) };
    });
    const filled = matched.flatMap(([a, b]) => [[a, names[0]], [b, names[1]]].filter(([row]) => row.needed).map(([row, series]) => ({ task: a.of, series, ...row.needed })));
    const ends = apart.flatMap((one) => [one.difference, one.low, one.high].map(Math.abs));
    const most = Math.min(Math.max(0.01, ...ends), -given.lowest);
    const base = axes(names, matched.flat());
    const sets = {
      "models-differences": [{ apart }, [["task", "B − A"], apart.map((one) => [one.task, one.what])]],
      "models-needed": [{ filled }, [["task", "model", "minimal subset"], filled.map((one) => [one.task, one.series, one.what])]],
    };
    return given.pictures.models.flatMap((of) => {
      const [values, figures] = sets[of.key];
      const tasks = [...new Set(Object.values(values)[0].map((one) => one.task))];
      const domains = { ...base.domains, TASK: tasks, "-1,1": [-most, most] };
      return tasks.length ? [picture(of, { ...base, metric: "", values, domains, lines: tasks.length, table: figures })] : [];
    });
  }

  const PAIRS = "differences with brackets are paired, two-sided at the benchmark's confidence (95 %), of scores over the files of test, of numbers of neurons over those of judge, where the difference would lie on another judge";
  const TESTED = `Same task and benchmark: ${PAIRS}; p after Holm over the pairs of the task.`;
  const DRAWN = `Of other results on the same rows: ${PAIRS}; p is not adjusted. What made them differs as said below.`;

  /* [name, of A, of B] of what differs in what made two rows; what a manifest does not tell, apart. */
  function differing(a, b) {
    const names = [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])];
    const told = (row, name) => row.settings[name] ?? NONE;
    const unknown = names.filter((name) => a.settings[name] === null || b.settings[name] === null);
    return [names.filter((name) => !unknown.includes(name) && told(a, name) !== told(b, name)).map((name) => [name, told(a, name), told(b, name)]), unknown];
  }

  function settings(heads, lines, unknown) {
    const missing = unknown.length ? [make("p", { class: "notes" }, `Not known of both: ${unknown.join(", ")}.`)] : [];
    if (lines.length) return [table("What differs in what made them", heads, lines), ...missing];
    return missing.length ? missing : [make("p", {}, "Nothing differs in what made them.")];
  }

  function put(text, first, pictures, tables) {
    place.replaceChildren(...first, make("div", { class: "charts" }, ...pictures), ...tables);
    pictures.forEach((figure) => globalThis.neurosieveCharts?.add(figure));
    said.textContent = text;
  }

  const filledIn = (lines) => lines.filter(([, x, y]) => x !== NONE || y !== NONE);

  /* What two rows are called, by those of `by` that tell them apart: in pictures, and at the head of a table. */
  function called(a, b, by) {
    const keys = by.filter((key) => a[key] !== b[key]);
    const labels = [a, b].map((row) => (keys.length ? keys : ["name"]).map((key) => row[key]).join(", "));
    const names = keys.length ? labels : labels.map((label, i) => `${label} (${"AB"[i]})`);
    const heads = labels.map((label, i) => `${"AB"[i]}: ${label}`);
    return { names, heads };
  }

  function showRows(a, b) {
    const { names, heads } = called(a, b, ["name", "of", "results", "protocol"]);
    const words = given.words.map(([key, name]) => [name, a.words[key] ?? NONE, b.words[key] ?? NONE]);
    const figures = given.figures.map(([key, name]) => [name, a.figures[key][1], b.figures[key][1], difference(key, a, b)]);
    put(`${heads.join(" against ")}`, [
      make("p", { class: same(a, b) ? "fine" : "notes" }, same(a, b) ? TESTED : drawnAlike(a, b) ? DRAWN
        : "Of different tasks, results or protocols: data, rules or metric may differ, so no difference here is tested."),
      make("p", { class: "links" }, make("a", { href: a.page }, heads[0]), " ", make("a", { href: b.page }, heads[1])),
      ...settings(heads, ...differing(a, b)),
    ], picturesOfRows(names, a, b), [
      table("What was found", heads, filledIn(words)),
      table("Figures", [...heads, "B − A"], filledIn(figures)),
    ]);
  }

  /* Rows of two models, matched by their tasks; `sides` has all rows of each. */
  function showModels(matched, sides) {
    const [a, b] = matched[0];
    const { names, heads } = called(a, b, ["name", "results"]);
    const tested = matched.every(([one, other]) => same(one, other));
    // what differs alike on every task is told once
    const found = new Map();
    const unknown = new Set();
    for (const pair of matched) {
      const [lines, missing] = differing(...pair);
      missing.forEach((name) => unknown.add(name));
      for (const line of lines) found.set(JSON.stringify(line), [...(found.get(JSON.stringify(line)) ?? []), pair[0].of]);
    }
    const lines = [...found].map(([line, tasks]) => {
      const [name, x, y] = JSON.parse(line);
      return [tasks.length === matched.length ? name : `${name} (${tasks.join(", ")})`, x, y];
    });
    const links = matched.map(([one, other]) => make("a", { href: `#${new URLSearchParams({ a: one.slug, b: other.slug })}` }, one.of));
    const byTask = (of) => filledIn(matched.map(([one, other]) => [one.of, ...of(one, other)]));
    const figures = given.figures.filter(([key]) => PAIRED[key]).map(([key, name]) => [name, byTask((x, y) => [x.figures[key][1], y.figures[key][1], difference(key, x, y)])]);
    const words = given.words.filter(([key]) => ["status", "evidence", "origin"].includes(key)).map(([key, name]) => [name, byTask((x, y) => [x.words[key] ?? NONE, y.words[key] ?? NONE])]);
    const tasks = sides.map((of) => new Set(of.map((row) => row.of)));
    const alone = sides.map((of, i) => [...tasks[i]].filter((task) => !tasks[1 - i].has(task)));
    put(`${heads.join(" against ")}: ${matched.length} tasks`, [
      make("p", { class: tested ? "fine" : "notes" }, tested ? TESTED : matched.some((pair) => drawnAlike(...pair)) ? DRAWN
        : "Of different results: data and rules may differ, so only rows of the same results are tested together."),
      make("p", { class: "links" }, "Row by row: ", ...links.flatMap((link) => [link, " "])),
      ...alone.flatMap((only, i) => only.length ? [make("p", { class: "fine" }, `Only ${heads[i]} has ${only.join(", ")}.`)] : []),
      ...settings(heads, lines, [...unknown]),
    ], picturesOfModels(names, matched), [
      ...figures.filter(([, of]) => of.length).map(([name, of]) => table(name, [...heads, "B − A"], of)),
      ...words.filter(([, of]) => of.length).map(([name, of]) => table(name, heads, of)),
    ]);
  }

  /* Two rows as they are; a model by its rows of the other's tasks, as `neurosieve compare` does. */
  function show(values) {
    const sides = values.map((value) => (given.models[value] ?? [value]).map((slug) => rows.get(slug)));
    const [a, b] = sides;
    const rowsAlone = values.every((value) => !(value in given.models));
    const matched = rowsAlone ? [[a[0], b[0]]] : a.flatMap((row) => b.filter((other) => other.of === row.of).map((other) => [row, other]));
    if (!matched.length) tell("They have no task in common.");
    else if (matched.length === 1) showRows(...matched[0]);
    else showModels(matched, sides);
  }

  function tell(text) {
    place.replaceChildren(make("p", { class: "notes" }, text));
    said.textContent = text;
  }

  async function update() {
    const state = new URLSearchParams(location.hash.slice(1));
    const options = selects.map((select) => {
      const wanted = state.get(select.name) || "";
      const found = [...select.options].find((option) => option.value === wanted) || select.options[0];
      found.selected = true;
      return found;
    });
    if (options.some((option) => !option.value)) {
      tell("Choose two rows or two models.");
      return;
    }
    try {
      await Promise.all([...new Set(options.flatMap((option) => option.dataset.files.split(" ")))].map(load));
      if (options.every((option, i) => option === selects[i].selectedOptions[0])) show(options.map((option) => option.value));
    } catch (error) {
      tell(error.message);
    }
  }

  function ask(a, b, step = true) {
    const state = new URLSearchParams(Object.entries({ a, b }).filter(([, value]) => value));
    history[step ? "pushState" : "replaceState"](null, "", `#${state}`);
    update();
  }

  let touched = null; // the choice that was changed last, while it has the focus: going through it is one step back
  selects.forEach((select) => {
    select.addEventListener("change", () => {
      ask(...selects.map((s) => s.value), touched !== select);
      touched = select;
    });
    select.addEventListener("blur", () => (touched = null));
  });
  document.querySelector(".swap").addEventListener("click", () => ask(...selects.map((s) => s.value).reverse()));
  // a link to a comparison is gone when it is followed: what it leads to has the focus
  place.addEventListener("click", (event) => event.target.closest("a[href^='#']") && place.focus());
  // the link to the content would put its own name in the place of what is chosen
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  addEventListener("popstate", update);
  if (document.readyState === "complete") update();
  else addEventListener("load", update); // after charts.js, which draws what is put in
})();

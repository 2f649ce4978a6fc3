/* Two rows or two models side by side. What it needs of a row lies in compare/<task>.js, which is put into the page when
   a row of the task, or a model that has one, is chosen: a page on disk may load scripts and not fetch json. What is
   chosen stands in the address after #. */
"use strict";

(() => {
  const selects = [...document.querySelectorAll(".pick select")];
  const place = document.getElementById("comparison");
  const given = JSON.parse(document.getElementById("compare-given").textContent);
  const rows = new Map();
  const pairs = { score: [], subset: [], n_minimal: [] };
  const asked = new Set();

  globalThis.neurosieveCompare = {
    add(found) {
      for (const [slug, row] of Object.entries(found.rows)) rows.set(slug, { ...row, slug });
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

  /* What is known of the two together, turned so that it speaks of a - b. */
  function paired(kind, a, b) {
    if (a.slug === b.slug) return null;
    const pair = pairs[kind].find((p) => [p.a, p.b].includes(a.slug) && [p.a, p.b].includes(b.slug));
    if (!pair || pair.a === a.slug) return pair ?? null;
    const turned = { ...pair, difference: -pair.difference };
    if ("low" in pair) [turned.low, turned.high] = [-pair.high, -pair.low];
    return turned;
  }

  /* The same as text: the difference, and whether the two are told apart. */
  function known(kind, a, b) {
    const pair = paired(kind, a, b);
    if (!pair) return null;
    if (kind === "n_minimal") return `${whole(pair.difference)}; ${pair.different ? "intervals are disjoint" : "not told apart"}`;
    return `${signed(pair.difference, 3)} [${signed(pair.low, 3)}, ${signed(pair.high, 3)}], p ${pair.p_holm.toFixed(3)}`;
  }

  const PAIRED = { oracle: "score", subset_test: "subset", n_minimal: "n_minimal" };

  function difference(key, a, b) {
    const paired = PAIRED[key] && known(PAIRED[key], a, b);
    if (paired) return paired;
    const [x, y] = [a.figures[key][0], b.figures[key][0]];
    if (x === null || y === null) return "–";
    const counted = key.startsWith("n_");
    // scores of two metrics have no difference
    if (!counted && key !== "share" && a.metric !== b.metric) return "–";
    return counted ? whole(x - y) : key === "share" ? `${signed(100 * (x - y), 1)} points` : signed(x - y, 3);
  }

  function table(caption, heads, lines) {
    const head = make("tr", {}, make("td"), ...heads.map((text) => make("th", { scope: "col" }, text)));
    const body = lines.map(([name, ...cells]) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))),
    );
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make("table", { class: "plain" }, make("caption", {}, make("b", {}, caption)), make("thead", {}, head), make("tbody", {}, ...body)));
  }

  /* A picture: the specification made of stand-ins, with what was chosen in their places. `found` has `metric`, the
     sets of data by a key that only their figures have, and the domains of scales by those of the stand-ins. */
  function picture(of, found) {
    const put = (value, key) => {
      if (Array.isArray(value)) {
        if (key === "values" && typeof value[0] === "object")
          return Object.entries(found.values).find(([name]) => name in value[0])?.[1] ?? value;
        if (key === "values") return found.ticks;
        if (key === "domain") return found.domains[value.join()] ?? value;
        return value.map((one) => put(one));
      }
      if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, put(v, k)]));
      return typeof value === "string" ? value.replace("METRIC", found.metric) : value;
    };
    const text = of.text.replace("METRIC", found.metric);
    const made = put(of.spec);
    if (found.lines) made.height *= found.lines;
    const spec = make("script", { type: "application/json", id: `${of.key}-spec` });
    spec.textContent = JSON.stringify(made);
    return make("figure", { class: "chart", id: of.key, "data-spec": `#${of.key}-spec` },
      make("figcaption", {}, make("h3", {}, of.title), make("p", { class: "fine" }, text)),
      make("div", { class: "plot", role: "img", "aria-label": `${of.title}. ${text}` }), spec);
  }

  /* What pictures of both kinds need: names of the series, and the axis of numbers of neurons. */
  function axes(names, rows) {
    const largest = Math.max(...rows.map((row) => row.n_neurons));
    const ticks = [];
    for (let n = 1; n <= largest; n *= 10) ticks.push(n);
    return { ticks, domains: { "A,B": names, "1,1000": [1, largest] } };
  }

  function picturesOfRows(a, b) {
    const names = a.label === b.label ? [`${a.label} (A)`, `${b.label} (B)`] : [a.label, b.label];
    const both = [[a, names[0]], [b, names[1]]];
    const score = both.flatMap(([row, series]) => row.curve.map(([n, score]) => ({ series, n, score })));
    const what = both.filter(([row]) => row.minimum[0] !== null).map(([row, series]) => ({ series, n: row.minimum[0], what: row.minimum[1] }));
    const share = both.flatMap(([row, series]) => {
      const all = row.layers.reduce((sum, n) => sum + n, 0);
      return row.layers.map((count, layer) => ({ series, layer, count, share: all ? count / all : 0 }));
    });
    const found = { ...axes(names, [a, b]), metric: a.metric, values: { score, what, share } };
    const can = (of) => of.key.endsWith("layers") ? both.every(([row]) => row.layers.some(Boolean)) : both.every(([row]) => row.curve.length) && a.metric === b.metric;
    return given.pictures.rows.filter(can).map((of) => picture(of, found));
  }

  function picturesOfModels(names, matched) {
    const apart = matched.filter(([a, b]) => a.metric === b.metric && [a, b].every((row) => row.figures.oracle[0] !== null)).map(([a, b]) => {
      const pair = paired("score", a, b);
      const plain = { difference: a.figures.oracle[0] - b.figures.oracle[0], low: null, high: null, p_holm: 1 };
      const { difference: of, low, high, p_holm } = pair ?? plain;
      return { task: a.of, difference: of, low, high, apart: p_holm <= 0.05, what: difference("oracle", a, b) };
    });
    const filled = matched.flatMap(([a, b]) => [[a, names[0]], [b, names[1]]].filter(([row]) => row.needed).map(([row, series]) => ({ task: a.of, series, ...row.needed })));
    const most = Math.max(0.01, ...apart.flatMap((one) => [one.difference, one.low, one.high].map(Math.abs)));
    const base = axes(names, matched.flat());
    const sets = { "models-differences": { apart }, "models-needed": { filled } };
    return given.pictures.models.flatMap((of) => {
      const [values] = Object.values(sets[of.key]);
      const tasks = [...new Set(values.map((one) => one.task))];
      if (!tasks.length) return [];
      return [picture(of, { ...base, metric: "", values: sets[of.key], lines: tasks.length, domains: { ...base.domains, TASK: tasks, "-1,1": [-most, most] } })];
    });
  }

  const PAIRED_NOTE = "Same task and benchmark: differences in brackets are of the paired bootstrap over the files of test, p after Holm over the pairs of the task.";

  function settingsTable(heads, differing) {
    return differing.length ? table("Settings that differ", heads, differing) : make("p", {}, "The settings do not differ.");
  }

  function put(first, pictures, tables) {
    place.replaceChildren(...first, make("div", { class: "charts" }, ...pictures), ...tables);
    pictures.forEach((figure) => globalThis.neurosieveCharts?.add(figure));
  }

  const same = (a, b) => a.of === b.of && String(a.results) === String(b.results);
  const differs = (a, b) => [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])]
    .filter((name) => a.settings[name] !== b.settings[name])
    .map((name) => [name, a.settings[name] ?? "–", b.settings[name] ?? "–"]);

  function showRows(a, b) {
    const keys = ["name", "of", "results"].filter((key) => String(a[key]) !== String(b[key]));
    for (const row of [a, b]) row.label = (keys.length ? keys : ["name"]).map((key) => (key === "results" ? row.results[0] : row[key])).join(", ");
    const heads = [`A: ${a.label}`, `B: ${b.label}`];
    const words = given.words.map(([key, name]) => [name, a.words[key] ?? "–", b.words[key] ?? "–"]);
    const figures = given.figures.map(([key, name]) => [name, a.figures[key][1], b.figures[key][1], difference(key, a, b)]);
    put([
      make("p", { class: same(a, b) ? "fine" : "notes" }, same(a, b) ? PAIRED_NOTE
        : "Different tasks or benchmarks: data, rules or metric differ, so no difference here is tested."),
      make("p", { class: "links" }, make("a", { href: a.page }, `A: ${a.name} on ${a.of}`), " ", make("a", { href: b.page }, `B: ${b.name} on ${b.of}`)),
      settingsTable(heads, differs(a, b)),
    ], picturesOfRows(a, b), [
      table("What was found", heads, words),
      table("Figures", [...heads, "A − B"], figures.filter(([, x, y]) => x !== "–" || y !== "–")),
    ]);
  }

  /* Rows of two models, matched by their tasks; `sides` has all rows of each. */
  function showModels(matched, sides) {
    const [a, b] = matched[0];
    const names = a.name !== b.name ? [a.name, b.name] : [a, b].map((row) => `${row.name}, ${row.results[0]}`);
    if (names[0] === names[1]) names.forEach((name, i) => (names[i] = `${name} (${"AB"[i]})`));
    const heads = names.map((name, i) => `${"AB"[i]}: ${name}`);
    const tested = matched.every(([one, other]) => same(one, other));
    // a setting that differs alike on every task is told once
    const found = new Map();
    for (const pair of matched)
      for (const [name, x, y] of differs(...pair)) {
        const key = JSON.stringify([name, x, y]);
        found.set(key, [...(found.get(key) ?? []), pair[0].of]);
      }
    const settings = [...found].map(([key, tasks]) => {
      const [name, x, y] = JSON.parse(key);
      return [tasks.length === matched.length ? name : `${name} (${tasks.join(", ")})`, x, y];
    });
    const links = matched.map(([one, other]) => make("a", { href: `#${new URLSearchParams({ a: one.slug, b: other.slug })}` }, one.of));
    const lines = (of) => matched.map(([one, other]) => [one.of, ...of(one, other)]).filter(([, x, y]) => x !== "–" || y !== "–");
    const figures = given.figures.filter(([key]) => PAIRED[key]).map(([key, name]) => [name, lines((x, y) => [x.figures[key][1], y.figures[key][1], difference(key, x, y)])]);
    const words = given.words.filter(([key]) => ["status", "evidence"].includes(key)).map(([key, name]) => [name, lines((x, y) => [x.words[key] ?? "–", y.words[key] ?? "–"])]);
    const tasks = sides.map((rows) => new Set(rows.map((row) => row.of)));
    const alone = sides.map((rows, i) => [...tasks[i]].filter((task) => !tasks[1 - i].has(task)));
    put([
      make("p", { class: tested ? "fine" : "notes" }, tested ? PAIRED_NOTE
        : "Different benchmarks: data and rules may differ, so only rows of one benchmark are tested together."),
      make("p", { class: "links" }, "Row by row: ", ...links.flatMap((link) => [link, " "])),
      ...alone.flatMap((only, i) => only.length ? [make("p", { class: "fine" }, `Only ${heads[i]} has ${only.join(", ")}.`)] : []),
      settingsTable(heads, settings),
    ], picturesOfModels(names, matched), [
      ...figures.filter(([, of]) => of.length).map(([name, of]) => table(name, [...heads, "A − B"], of)),
      ...words.filter(([, of]) => of.length).map(([name, of]) => table(name, heads, of)),
    ]);
  }

  /* Two rows as they are; else the rows of the same task, as `neurosieve compare` does. */
  function show(sides) {
    const [a, b] = sides;
    const alone = a.length === 1 && b.length === 1;
    const matched = alone ? [[a[0], b[0]]] : a.flatMap((row) => b.filter((other) => other.of === row.of).map((other) => [row, other]));
    if (!matched.length) place.replaceChildren(make("p", { class: "notes" }, "They have no task in common."));
    else if (matched.length === 1) showRows(...matched[0]);
    else showModels(matched, sides);
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
      place.replaceChildren(make("p", { class: "fine" }, "Choose two rows or two models."));
      return;
    }
    try {
      await Promise.all([...new Set(options.flatMap((option) => option.dataset.files.split(" ")))].map(load));
      if (options.every((option, i) => option === selects[i].selectedOptions[0]))
        show(options.map(({ value }) => (given.models[value] ?? [value]).map((slug) => rows.get(slug))));
    } catch (error) {
      place.replaceChildren(make("p", { class: "notes", role: "alert" }, error.message));
    }
  }

  function ask(a, b) {
    const state = new URLSearchParams(Object.entries({ a, b }).filter(([, value]) => value));
    history.pushState(null, "", `#${state}`);
    update();
  }

  selects.forEach((select) => select.addEventListener("change", () => ask(...selects.map((s) => s.value))));
  document.querySelector(".swap").addEventListener("click", () => ask(...selects.map((s) => s.value).reverse()));
  addEventListener("popstate", update);
  if (document.readyState === "complete") update();
  else addEventListener("load", update); // after charts.js, which draws what is put in
})();

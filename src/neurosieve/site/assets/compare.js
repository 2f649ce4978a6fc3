/* Two rows side by side. What it needs of a row lies in compare/<task>.js, which is put into the page when a row of the
   task is chosen: a page on disk may load scripts and not fetch json. The rows stand in the address after #. */
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

  /* What is known of the two together: difference of a and b, and whether they are told apart. */
  function known(kind, a, b) {
    if (a.slug === b.slug) return null;
    const pair = pairs[kind].find((p) => [p.a, p.b].includes(a.slug) && [p.a, p.b].includes(b.slug));
    if (!pair) return null;
    const turned = pair.a !== a.slug;
    const sign = turned ? -1 : 1;
    if (kind === "n_minimal")
      return `${whole(sign * pair.difference)}; ${pair.different ? "intervals are disjoint" : "not told apart"}`;
    const ends = [sign * pair.low, sign * pair.high].sort((x, y) => x - y).map((end) => signed(end, 3));
    return `${signed(sign * pair.difference, 3)} [${ends.join(", ")}], p ${pair.p_holm.toFixed(3)}`;
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

  /* A picture of the pair: the specification made of two stand-ins, with these rows' figures and names in their places. */
  function picture(of, a, b) {
    const names = a.label === b.label ? [`${a.label} (A)`, `${b.label} (B)`] : [a.label, b.label];
    const both = [[a, names[0]], [b, names[1]]];
    const points = both.flatMap(([row, series]) => row.curve.map(([n, score]) => ({ series, n, score })));
    const marks = both.filter(([row]) => row.minimum[0] !== null).map(([row, series]) => ({ series, n: row.minimum[0], what: row.minimum[1] }));
    const layers = both.flatMap(([row, series]) => {
      const all = row.layers.reduce((sum, n) => sum + n, 0);
      return row.layers.map((count, layer) => ({ series, layer, count, share: all ? count / all : 0 }));
    });
    const largest = Math.max(a.n_neurons, b.n_neurons);
    const ticks = [];
    for (let n = 1; n <= largest; n *= 10) ticks.push(n);
    const put = (value, key) => {
      if (Array.isArray(value)) {
        if (key === "values" && value.length && typeof value[0] === "object")
          return "score" in value[0] ? points : "what" in value[0] ? marks : layers;
        if (key === "values") return ticks;
        if (key === "domain") return value.every((x) => typeof x === "string") ? names : [1, largest];
        return value.map((one) => put(one));
      }
      if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, put(v, k)]));
      return typeof value === "string" ? value.replace("METRIC", a.metric) : value;
    };
    const some = of.key.endsWith("layers") ? both.every(([row]) => row.layers.some(Boolean)) : both.every(([row]) => row.curve.length) && a.metric === b.metric;
    if (!some) return null;
    const text = of.text.replace("METRIC", a.metric);
    const spec = make("script", { type: "application/json", id: `${of.key}-spec` });
    spec.textContent = JSON.stringify(put(of.spec));
    return make("figure", { class: "chart", id: of.key, "data-spec": `#${of.key}-spec` },
      make("figcaption", {}, make("h3", {}, of.title), make("p", { class: "fine" }, text)),
      make("div", { class: "plot", role: "img", "aria-label": `${of.title}. ${text}` }), spec);
  }

  function show(a, b) {
    const keys = ["name", "of", "results"].filter((key) => String(a[key]) !== String(b[key]));
    for (const row of [a, b]) row.label = (keys.length ? keys : ["name"]).map((key) => (key === "results" ? row.results[0] : row[key])).join(", ");
    const heads = [`A: ${a.label}`, `B: ${b.label}`];
    const same = a.of === b.of && String(a.results) === String(b.results);
    const settings = [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])]
      .filter((name) => a.settings[name] !== b.settings[name])
      .map((name) => [name, a.settings[name] ?? "–", b.settings[name] ?? "–"]);
    const parts = [];
    parts.push(make("p", { class: same ? "fine" : "notes" }, same
      ? "Same task and benchmark: differences in brackets are of the paired bootstrap over the files of test, p after Holm over the pairs of the task."
      : "Different tasks or benchmarks: data, rules or metric differ, so no difference here is tested."));
    parts.push(make("p", { class: "links" }, make("a", { href: a.page }, `A: ${a.name} on ${a.of}`), " ", make("a", { href: b.page }, `B: ${b.name} on ${b.of}`)));
    parts.push(settings.length ? table("Settings that differ", heads, settings) : make("p", {}, "The settings do not differ."));
    const words = given.words.map(([key, name]) => [name, a.words[key] ?? "–", b.words[key] ?? "–"]);
    const figures = given.figures.map(([key, name]) => [name, a.figures[key][1], b.figures[key][1], difference(key, a, b)]);
    parts.push(table("What was found", heads, words));
    parts.push(table("Figures", [...heads, "A − B"], figures.filter(([, x, y]) => x !== "–" || y !== "–")));
    const pictures = given.pictures.map((of) => picture(of, a, b)).filter(Boolean);
    parts.push(make("div", { class: "charts" }, ...pictures));
    place.replaceChildren(...parts);
    pictures.forEach((figure) => globalThis.neurosieveCharts?.add(figure));
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
      place.replaceChildren(make("p", { class: "fine" }, "Choose two rows."));
      return;
    }
    try {
      await Promise.all([...new Set(options.map((option) => option.dataset.file))].map(load));
      if (options.every((option, i) => option === selects[i].selectedOptions[0])) show(...options.map((option) => rows.get(option.value)));
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

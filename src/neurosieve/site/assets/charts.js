/* Draws the charts of a page: each <figure class="chart"> with the Vega-Lite specification that stands in it.
   Needs vendor/vega.min.js before it. Nothing is evaluated from text (Vega's expressions are interpreted) and nothing
   is fetched, so it runs under a policy without unsafe-inline and unsafe-eval, from a server and from a folder alone.
   Without script, or where a specification cannot be drawn, the table of figures below the chart stays. */
"use strict";

(() => {
  const vega = globalThis.neurosieveVega;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // The colours of Okabe and Ito, of which those that are faint on a background are moved towards the ink; in the order
  // of charts/parts.py. Ramps for shares and similarities start near the background.
  const THEMES = {
    light: {
      ink: "#1d2433", muted: "#59647a", grid: "#dfe3ea", ground: "#ffffff", band: 0.16,
      category: ["#0072b2", "#d55e00", "#008b65", "#b4508c", "#b97a00", "#2f93c9", "#5f6b7d", "#7c6a0a"],
      ramp: ["#f2f6fa", "#a9cce3", "#4a98c9", "#12639b", "#08305c"],
      diverging: ["#a84600", "#e9a36a", "#f4f2ef", "#7fb6d9", "#00568a"],
    },
    dark: {
      ink: "#e6e9ef", muted: "#a3adbd", grid: "#343c4a", ground: "#12161d", band: 0.24,
      category: ["#56b4e9", "#f08a3c", "#2fc79a", "#dd8fbf", "#e6b23c", "#8ec9ef", "#a3adbd", "#d9cf5a"],
      ramp: ["#1a2230", "#1f4a70", "#2b7ab3", "#69b5e6", "#d8eefc"],
      diverging: ["#f08a3c", "#8a4a1c", "#242a34", "#1f5a85", "#56b4e9"],
    },
  };

  /* The longest name in a legend of a specification, in characters. */
  function longest(spec) {
    const domains = (spec.layer ?? []).flatMap(({ encoding }) => encoding?.color?.scale?.domain ?? []);
    return Math.max(0, ...domains.map((name) => String(name).length));
  }

  /* The longest name beside the ordinate of a specification, in characters. */
  function beside(spec) {
    const domains = (spec.layer ?? []).map(({ encoding }) => encoding?.y).filter((y) => y?.type === "nominal").flatMap((y) => y.scale?.domain ?? []);
    return Math.max(0, ...domains.map((name) => String(name).length));
  }

  /* The look of a chart: font and ink of the page around it, colours of the theme, legends that fit into its width;
     `names` is the length of the longest name in them, `left` of the longest one beside the ordinate. */
  function look(theme, width, font, names, left) {
    const c = THEMES[theme];
    const size = 12;
    const labels = Math.min(240, Math.round(width * 0.48));
    const room = width - 40 - Math.min(labels, left * 6.6); // a legend begins where the plot does
    const columns = Math.max(1, Math.floor(room / (names * 6.6 + 44)));
    return {
      background: "transparent",
      font,
      view: { stroke: null },
      axis: {
        domainColor: c.muted, tickColor: c.muted, gridColor: c.grid, labelColor: c.muted, titleColor: c.ink,
        labelFontSize: size, titleFontSize: size, titleFontWeight: "normal", titlePadding: 6, labelOverlap: true,
        labelLimit: labels,
      },
      axisY: { titleAlign: "left", titleAngle: 0, titleAnchor: "start", titleX: 0, titleY: -10, titleBaseline: "bottom" },
      header: { labelColor: c.ink, titleColor: c.ink, labelFontSize: size },
      legend: {
        orient: "top", direction: "horizontal", title: null, columns,
        layout: { top: { direction: width < 720 ? "vertical" : "horizontal", margin: width < 720 ? 4 : 16 } },
        labelColor: c.ink, labelFontSize: size, labelLimit: Math.min(260, room - 30), symbolStrokeWidth: 2.5, symbolSize: 180, padding: 0,
        offset: 26, rowPadding: 3, columnPadding: 14, titleColor: c.ink, titleFontSize: size, titleFontWeight: "normal",
        titleLimit: room + 20, gradientLength: Math.min(160, width / 2), gradientThickness: 10,
      },
      range: { category: c.category, ramp: c.ramp, heatmap: c.ramp, diverging: c.diverging, ordinal: c.ramp },
      mark: { color: c.category[0] },
      line: { strokeWidth: 2, strokeCap: "round", strokeJoin: "round" },
      bar: { color: c.category[0] },
      point: { size: 34, filled: true, opacity: 1 },
      rule: { color: c.muted, strokeWidth: 1.5 },
      text: { color: c.ink, fontSize: 11 },
      style: {
        band: { fillOpacity: c.band },
        span: { color: c.category[0], fillOpacity: c.band * 0.8 },
        mark: { color: c.category[0], strokeWidth: 1.5 },
        level: { color: c.muted, strokeWidth: 1, strokeDash: [2, 3] },
        note: { color: c.ink, fontSize: 11 },
        halo: { color: c.ground, stroke: c.ground, strokeWidth: 4, strokeJoin: "round", fontSize: 11 },
        faint: { color: c.ink, fontSize: 11 },
        strong: { color: c.ground, fontSize: 11 },
      },
    };
  }

  /* One text box for all charts. Its lines are text nodes, so nothing of the data is read as markup. */
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;

  function tooltip(_handler, event, _item, value) {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    const lines = typeof value === "object" ? Object.entries(value).map(([k, v]) => `${k}: ${v}`) : [String(value)];
    tip.replaceChildren(
      ...lines.map((line) => {
        const row = document.createElement("div");
        row.textContent = line;
        return row;
      }),
    );
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - box.width - 14 : event.clientX + 14;
    const top = event.clientY + 14 + box.height > innerHeight ? event.clientY - box.height - 14 : event.clientY + 14;
    tip.style.left = `${Math.max(4, left)}px`; // properties set by script are no inline style to a policy
    tip.style.top = `${Math.max(4, top)}px`;
  }

  function specification(figure) {
    return JSON.parse(document.querySelector(figure.dataset.spec).textContent);
  }

  const drawn = new Map(); // figure -> { view, width, theme }

  function draw(figure, theme = dark.matches ? "dark" : "light") {
    const plot = figure.querySelector(".plot");
    const width = Math.floor(plot.clientWidth);
    const before = drawn.get(figure);
    if (!width || (before && before.width === width && before.theme === theme)) return;
    drawn.set(figure, { ...before, width, theme });
    try {
      const spec = specification(figure);
      const wide = Math.min(width, spec.usermeta?.widest ?? width);
      // from side to side, whatever the labels of the axes need
      const whole = { ...spec, width: wide, autosize: { type: "fit-x", contains: "padding" }, padding: 4 };
      const warnings = [];
      const logger = {
        level: () => logger, error: (...text) => (warnings.push(text.join(" ")), logger),
        warn: (...text) => (warnings.push(text.join(" ")), logger), info: () => logger, debug: () => logger,
      };
      const config = look(theme, wide, getComputedStyle(figure).fontFamily, longest(spec), beside(spec));
      const compiled = vega.compile(whole, { config, logger }).spec;
      const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
        expr: vega.expressionInterpreter, renderer: "svg", container: plot, hover: true, tooltip, logger,
      });
      if (before && before.view) before.view.finalize();
      view.run();
      drawn.set(figure, { view, width, theme });
      figure.dataset.drawn = theme;
      if (warnings.length) figure.dataset.warnings = warnings.join("\n"); // the tests look for them
    } catch (error) {
      figure.dataset.error = String(error);
      figure.querySelector("details")?.setAttribute("open", "");
    }
  }

  function start() {
    const figures = [...document.querySelectorAll("figure.chart")];
    if (!vega) return;
    document.body.append(tip);
    addEventListener("scroll", () => (tip.hidden = true), { passive: true });
    const seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (!entry.isIntersecting) continue;
          seen.unobserve(entry.target);
          draw(entry.target);
        }
      },
      { rootMargin: "300px" },
    );
    figures.forEach((figure) => seen.observe(figure));
    const again = () => {
      for (const [figure, { view }] of drawn) {
        if (figure.isConnected) {
          draw(figure);
        } else {
          view?.finalize(); // a page has taken it out (compare.js)
          drawn.delete(figure);
        }
      }
    };
    dark.addEventListener("change", again);
    let waiting = 0;
    const resized = new ResizeObserver(() => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(again);
    });
    figures.forEach((figure) => resized.observe(figure.querySelector(".plot")));
    // paper is white; the charts of a closed section, which have no width, are not printed either
    addEventListener("beforeprint", () => document.querySelectorAll("figure.chart").forEach((figure) => draw(figure, "light")));
    addEventListener("afterprint", again);
    // for a page that puts figures in later (compare.js): draws what is new
    globalThis.neurosieveCharts = {
      add(figure) {
        draw(figure);
        resized.observe(figure.querySelector(".plot"));
      },
    };
  }

  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();

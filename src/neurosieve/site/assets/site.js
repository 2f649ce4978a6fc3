/* Sorting and filtering of the table of rows, with their state in the address after #, so that a view can be linked and
   the back button works. The page is whole without this script. */
"use strict";

(() => {
  const board = document.querySelector(".board");
  if (!board) return;
  document.documentElement.classList.add("js");
  const body = board.tBodies[0];
  const rows = [...body.rows];
  const heads = [...board.tHead.rows[0].cells];
  const tools = document.querySelector(".tools");
  const filters = tools ? [...tools.querySelectorAll("select:not([name=sort])")] : [];
  const sorting = tools?.querySelector("select[name=sort]");
  const find = tools?.querySelector("input[name=q]");
  const count = tools?.querySelector("output");
  const AT_ONCE = 150; // rows that are laid out; more follow when their place comes near, for a long table is slow
  let limit = AT_ONCE;
  let kept = rows.map(() => true);
  let standing = rows.map((_, i) => i); // the order in which the rows stand
  const texts = rows.map((row) => row.textContent.toLowerCase());

  // the value of each cell, read once: numbers as numbers, "" for what is missing
  const values = heads.map((head, i) =>
    rows.map((row) => {
      const value = row.cells[i].dataset.v;
      return value === "" || !("number" in head.dataset || head.dataset.key === "evidence") ? value : Number(value);
    }),
  );

  const state = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  /* Put the table into the state of the address. */
  function show() {
    const asked = state();
    if (find && document.activeElement !== find) find.value = asked.get("q") || "";
    for (const select of filters) {
      const value = asked.get(select.name) || "";
      select.value = [...select.options].some((option) => option.value === value) ? value : "";
      select.classList.toggle("set", select.value !== "");
    }
    if (sorting) sorting.value = [...sorting.options].some((one) => one.value === asked.get("sort")) ? asked.get("sort") : "";
    const words = (asked.get("q") || "").toLowerCase().split(/\s+/).filter(Boolean);
    kept = rows.map(
      (row, i) =>
        filters.every((select) => !select.value || row.dataset[select.name] === select.value) &&
        words.every((word) => texts[i].includes(word)),
    );
    const shown = kept.filter(Boolean).length;
    if (count) count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    limit = AT_ONCE;
    sort(asked.get("sort") || "");
    uncover();
  }

  /* Show the first rows of those that are asked for. */
  function uncover() {
    let shown = 0;
    for (const i of standing) {
      const row = rows[i];
      const hidden = !kept[i] || shown >= limit;
      if (!hidden) shown += 1;
      if (row.hidden !== hidden) row.hidden = hidden;
      row.classList.remove("later");
    }
  }

  /* "share" sorts by that column upwards, "-share" downwards, "" is the order of the page. */
  function sort(by) {
    const down = by.startsWith("-");
    const place = heads.findIndex((head) => head.dataset.key === by.replace(/^-/, ""));
    heads.forEach((head, i) => {
      if (i === place) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const order = rows.map((_, i) => i);
    if (place >= 0) {
      const of = values[place];
      order.sort((i, j) => {
        const [x, y] = [of[i], of[j]];
        if (x === y) return i - j;
        if (x === "" || y === "") return x === "" ? 1 : -1; // missing ones stay last, either way
        const found = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
        return (down ? -found : found) || i - j;
      });
    }
    board.classList.toggle("sorted", place >= 0);
    if (order.every((row, i) => row === standing[i])) return;
    standing = order;
    body.remove(); // moving rows one by one in a table that is shown takes ten times as long
    body.append(...order.map((i) => rows[i]));
    board.append(body);
  }

  /* Change the address; a step back undoes it, but for letters that are typed. */
  function ask(name, value, step = true) {
    const asked = state();
    if (value) asked.set(name, value);
    else asked.delete(name);
    const hash = asked.toString();
    history[step ? "pushState" : "replaceState"](null, "", hash ? `#${hash}` : location.pathname + location.search);
    show();
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const [first, second] = "up" in head.dataset ? ["", "-"] : ["-", ""];
    button.addEventListener("click", () => {
      const now = state().get("sort");
      const key = head.dataset.key;
      ask("sort", now === first + key ? second + key : now === second + key ? "" : first + key);
    });
  }
  filters.forEach((select) => select.addEventListener("change", () => ask(select.name, select.value)));
  sorting?.addEventListener("change", () => ask("sort", sorting.value));
  find?.addEventListener("input", () => ask("q", find.value, false));
  tools?.addEventListener("submit", (event) => event.preventDefault());
  tools?.querySelector(".reset").addEventListener("click", () => {
    history.pushState(null, "", location.pathname + location.search);
    find.value = "";
    show();
  });
  // the link to the content would put its own name in the place of the view
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  const end = document.createElement("div");
  board.after(end);
  const near = new IntersectionObserver(
    ([entry]) => {
      if (!entry.isIntersecting || limit >= rows.length) return;
      limit += AT_ONCE;
      uncover();
      near.unobserve(end); // asked again, it tells once more where the end is still near
      near.observe(end);
    },
    { rootMargin: "1200px" },
  );
  near.observe(end);
  addEventListener("beforeprint", () => {
    limit = Infinity;
    uncover();
  });
  addEventListener("popstate", show); // the back button, and a changed address
  // one note at a time, and none after a click elsewhere or Escape
  const notes = () => board.querySelectorAll("details.why[open]");
  board.addEventListener("toggle", (event) => {
    if (event.target.open) notes().forEach((note) => note !== event.target && (note.open = false));
  }, true);
  addEventListener("click", (event) => {
    if (!event.target.closest("details.why")) notes().forEach((note) => (note.open = false));
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const note of notes()) {
      note.open = false;
      note.querySelector("summary").focus();
    }
  });
  show();
})();

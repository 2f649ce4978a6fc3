// Sorting and filtering of the leaderboard. The page is whole without it.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const board = document.querySelector(".board");
  const groups = [...board.tBodies].map((body) => ({ body, rows: [...body.querySelectorAll("tr[data-task]")] }));
  // A row and the line with its note stay together.
  const whole = (row) => (row.nextElementSibling?.matches(".note") ? [row, row.nextElementSibling] : [row]);
  const all = groups.flatMap((group) => group.rows);
  const pick = [...document.querySelectorAll(".tools select")];
  const count = document.querySelector(".tools output");
  const filter = () => {
    for (const row of all) {
      const out = pick.some((s) => s.value && row.dataset[s.name] !== s.value);
      whole(row).forEach((line) => (line.hidden = out));
    }
    groups.forEach((group) => (group.body.hidden = group.rows.every((row) => row.hidden)));
    count.textContent = `${all.filter((row) => !row.hidden).length} of ${all.length} rows`;
  };
  pick.forEach((s) => s.addEventListener("change", filter));
  filter();
  // Rows are sorted within their task: scores of different tasks are no one scale.
  board.querySelectorAll("th[data-key]").forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      board.querySelectorAll("[aria-sort]").forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.querySelector(`[data-of="${head.dataset.key}"]`).dataset.v;
      const number = all.every((row) => value(row) === "" || !Number.isNaN(Number(value(row))));
      for (const { body, rows } of groups) {
        rows.sort((a, b) => {
          const [x, y] = [value(a), value(b)];
          if (x === "" || y === "") return (x === "") - (y === ""); // missing values stay last
          const order = number ? x - y : x.localeCompare(y, "en");
          return up ? order : -order;
        });
        body.append(...rows.map(whole).flat());
      }
    });
  });
  // The docs lie two folders above results/<benchmark>/, and three above build/<benchmark>/leaderboard/.
  if (/\/build\/[^/]+\/leaderboard\/[^/]*$/.test(location.pathname))
    document.querySelectorAll('a[href^="../../docs/"]').forEach((a) => a.setAttribute("href", `../${a.getAttribute("href")}`));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
})();

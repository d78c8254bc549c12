"use strict";
// Sorts, filters, switches and draws; everything it shows as text goes in as text.
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const all = (where, what) => [...where.querySelectorAll(what)];
  const root = document.documentElement;
  root.classList.add("scripted");
  const controls = document.getElementById("controls");
  const title = document.title;
  const sections = all(document, "section.table");

  // --- Charts -------------------------------------------------------------------------------------------------------

  function theme() {
    const style = getComputedStyle(root);
    const color = (name) => style.getPropertyValue(name).trim();
    const words = { labelColor: color("--muted"), titleColor: color("--muted"), titleFontWeight: "normal" };
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: null },
      axis: { ...words, gridColor: color("--line"), domainColor: color("--line"), tickColor: color("--line") },
      legend: words, rule: { color: color("--muted") },
    };
  }

  // The chart `name` with its data in the element `place`; `change` may adapt the specification, `rows` is how many a
  // chart of rows has: Vega-Lite would count them itself, and complain that it cannot fit both ways.
  async function draw(place, name, data, label, { change, rows } = {}) {
    const spec = structuredClone(D.charts[name]);
    spec.datasets = data;
    spec.description = label;
    if (change) change(spec);
    if (rows !== undefined) spec.height = Math.max(1, rows) * spec.height.step;
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", label);
    if (!place.clientWidth) return; // hidden: drawn when it is shown
    if (place.view) place.view.finalize();
    const box = place.querySelector(".plot") || place.appendChild(document.createElement("div"));
    box.className = "plot";
    const options = {
      ast: true, actions: false, renderer: "svg", config: theme(), tooltip: { theme: dark() ? "dark" : "light" },
    };
    const made = await window.vegaEmbed(box, spec, options);
    place.view = made;
  }

  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;

  function panels(section, kind, table) {
    const box = section.querySelector(`[data-charts="${kind}"]`);
    const shown = new Set(all(section, ".models input:checked").map((input) => Number(input.value)));
    D.tables[table][kind].forEach((panel, place) => {
      let chart = box.children[place];
      if (!chart) {
        chart = box.appendChild(document.createElement("div"));
        chart.className = "chart";
        chart.appendChild(document.createElement("h5")).textContent = panel.title;
      }
      const points = [];
      panel.lines.forEach(([model, number, line], row) => {
        if (!shown.has(row)) return;
        for (const [x, accuracy, low, high] of line) {
          points.push({ model, c: number % D.colors, x, accuracy, low, high, cell: `${panel.title}, ${x}` });
        }
      });
      const label = `${panel.title}: accuracy in percent against ${panel.xlabel}; the table above has the numbers`;
      draw(chart, kind === "curves" ? "curve" : "steps", { points }, label, {
        change: (spec) => {
          for (const layer of spec.layer) {
            const { x } = layer.encoding;
            x.title = panel.xlabel;
            x.scale = { ...x.scale, domain: [Math.min(...panel.ticks), Math.max(...panel.ticks)] };
            x.axis = { ...x.axis, values: panel.ticks, format: "~g", labelOverlap: true };
          }
        },
      });
    });
    box.parentElement.hidden = !D.tables[table][kind].length;
  }

  function pairChart(place, table, index, turned) {
    const pair = D.tables[table].pairs[index];
    const sign = turned ? -1 : 1;
    const cells = pair.cells.map(([cell, difference, low, high, a, b, p, significant], order) => ({
      cell, order, p, significant, difference: sign * difference, low: turned ? -high : low, high: turned ? -low : high,
      a: turned ? b : a, b: turned ? a : b,
    }));
    place.hidden = !cells.length;
    if (!cells.length) return;
    const rows = D.tables[table].rows;
    const [first, second] = (turned ? [pair.b, pair.a] : [pair.a, pair.b]).map((row) => rows[row][0]);
    draw(place, "pair", { cells }, `Accuracy of ${first} minus accuracy of ${second}, by cell, with 95 % intervals`,
      { rows: cells.length });
  }

  function picker(section, table) {
    const box = section.querySelector(".picker");
    if (!box) return;
    const [a, b] = [box.querySelector(".pick-a"), box.querySelector(".pick-b")];
    const { rows, pairs } = D.tables[table];
    if (!a.options.length) {
      rows.forEach(([label], row) => [a, b].forEach((select) => select.add(new Option(label, row))));
      b.selectedIndex = Math.min(1, rows.length - 1);
      [a, b].forEach((select) => select.addEventListener("change", () => picker(section, table)));
    }
    const [i, j] = [Number(a.value), Number(b.value)];
    const index = pairs.findIndex((pair) => (pair.a === i && pair.b === j) || (pair.a === j && pair.b === i));
    const said = box.querySelector(".picked");
    const chart = box.querySelector(".picked-chart");
    chart.hidden = index < 0;
    if (index < 0) {
      said.textContent = "Choose two different models.";
      return;
    }
    const turned = pairs[index].a !== i;
    const last = pairs[index].cells.at(-1);
    const needed = last && last[8] ? `; ${last[8].toLocaleString("en")} images would separate them at ${last[0]}` : "";
    said.textContent = `${rows[i][0]} minus ${rows[j][0]}${needed}`;
    pairChart(chart, table, index, turned);
  }

  function drawTable(section) {
    const table = Number(section.dataset.place);
    panels(section, "curves", table);
    panels(section, "steps", table);
    all(section, "[data-pair]").forEach((place) => pairChart(place, table, Number(place.dataset.pair), false));
    picker(section, table);
  }

  function drawRun(section) {
    const run = D.runs[Number(section.dataset.run)];
    const select = section.querySelector("select.epsilon");
    if (!select) return;
    const names = D.tables[run.table].names;
    const name = (label) => names[label] ?? `class ${label}`;
    const at = Number(select.value);
    const share = (count, n) => (count === null ? null : (100 * count) / n);
    const classes = run.classes.map(([title, n, clean, worst]) => ({
      name: title, n, clean: share(clean, n), worst: share(worst[at], n),
    }));
    classes.sort((a, b) => a.worst - b.worst).forEach((one, order) => (one.order = order));
    const epsilon = run.grid[at];
    draw(section.querySelector('[data-chart="classes"]'), "classes", { classes },
      `Accuracy of each class, unperturbed and in the worst case at ${epsilon}; a table follows`,
      { rows: classes.length });
    const place = section.querySelector('[data-chart="confusions"]');
    if (!place) return;
    const numbers = run.confusions[at];
    const pairs = [];
    for (let i = 0; i < numbers.length; i += 4) {
      const [so, ro, count, number] = numbers.slice(i, i + 4);
      const [danger, why] = D.dangers[number];
      pairs.push({ sign: name(so), read: name(ro), so, ro, count, danger, why });
    }
    place.hidden = !pairs.length;
    if (!pairs.length) return;
    draw(place, "confusions", { pairs }, `Which class is read as which in the worst case at ${epsilon}`,
      { rows: new Set(pairs.map((pair) => pair.so)).size });
  }

  // --- Switches -----------------------------------------------------------------------------------------------------

  const values = (name) => [...new Set(sections.map((section) => section.dataset[name]))];

  function fill(select, options, chosen) {
    select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    if (options.some(([value]) => value === chosen)) select.value = chosen;
    select.parentElement.hidden = options.length < 2;
  }

  function switchTables(changed) {
    const wanted = Object.fromEntries(["data", "norm", "suite"].map((name) => [name, controls[name].value]));
    const fits = (section, names) => names.every((name) => section.dataset[name] === wanted[name]);
    const orders = [["data", "norm", "suite"], [changed, "data", "norm"], [changed, "data"], [changed]];
    const names = orders.find((order) => sections.some((section) => fits(section, order))) ?? [];
    const model = sections.find((section) => fits(section, names)) ?? sections[0];
    for (const name of ["data", "norm", "suite"]) controls[name].value = model.dataset[name];
    for (const section of sections) {
      section.hidden = ["data", "norm", "suite"].some((name) => section.dataset[name] !== model.dataset[name]);
    }
    const heads = visible().flatMap((section) => all(section, ".scores thead th[data-epsilon]"));
    const unique = (name) => [...new Set(heads.map((head) => head.dataset[name]))];
    const epsilons = unique("epsilon");
    const ranked = visible()[0].dataset.ranked || epsilons.at(-1);
    fill(controls.epsilon, [["", "all"], ...epsilons.map((label) => [label, label])], ranked);
    const tools = unique("tool").filter((tool) => tool !== "all");
    fill(controls.tool, [["", "all"], ...tools.map((tool) => [tool, tool])], "");
    controls.tool.parentElement.hidden = tools.length < 2;
    switchColumns();
    visible().forEach(drawTable);
  }

  const visible = () => sections.filter((section) => !section.hidden);

  function switchColumns() {
    const [epsilon, tool] = [controls.epsilon.value, controls.tool.value];
    for (const cell of all(document, ".scores [data-epsilon]")) {
      const { epsilon: mine, tool: by } = cell.dataset;
      const other = (epsilon && mine !== epsilon && mine !== "0") || (tool && by !== tool && by !== "all");
      cell.hidden = Boolean(other);
    }
    filter();
  }

  function filter() {
    const words = controls.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let total = 0;
    for (const row of visible().flatMap((section) => all(section, ".scores tbody tr"))) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      total += 1;
      shown += row.hidden ? 0 : 1;
    }
    document.getElementById("count").value = `${shown} of ${total} models`;
  }

  // --- Sorting ------------------------------------------------------------------------------------------------------

  function sortable(table) {
    const heads = all(table.tHead, "th");
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("num") && !/^rank/.test(head.textContent) ? "descending" : "ascending";
        const before = head.getAttribute("aria-sort");
        const order = before === null ? first : before === "ascending" ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        sort(table.tBodies[0], column, order === "ascending" ? 1 : -1);
      });
    });
  }

  function sort(body, column, direction) {
    const key = (row) => {
      const cell = row.cells[column];
      const text = cell.dataset.sort ?? cell.textContent.trim().replace(/,/g, "");
      if (text === "" || text === "–") return null; // what is not known comes last either way
      return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text.toLowerCase();
    };
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      if (typeof a === typeof b) return direction * (a < b ? -1 : a > b ? 1 : 0);
      return typeof a === "number" ? -1 : 1;
    });
    body.append(...rows.map(([, row]) => row));
  }

  // --- Pages --------------------------------------------------------------------------------------------------------

  function route(event) {
    const page = /^#m\d+$/.test(location.hash) ? document.querySelector(location.hash) : null;
    const board = document.getElementById("board");
    board.hidden = Boolean(page);
    document.querySelector("header").hidden = Boolean(page);
    for (const article of all(document, "article.model")) article.hidden = article !== page;
    if (page) {
      all(page, "section.run").forEach(drawRun);
      document.title = `${page.querySelector("h2").textContent} · ${title}`;
    } else {
      document.title = title;
      if (sections.length && event) visible().forEach(drawTable);
    }
    if (event) {
      (page ?? board).focus();
      scrollTo(0, 0);
    }
  }

  function redraw() {
    const page = document.querySelector("article.model:not([hidden])");
    if (page) all(page, "section.run").forEach(drawRun);
    else visible().forEach(drawTable);
  }

  all(document, "table.sortable").forEach(sortable);
  for (const section of sections) {
    section.addEventListener("change", (event) => {
      if (event.target.type === "checkbox") drawTable(section);
    });
  }
  for (const section of all(document, "section.run")) {
    section.querySelector("select.epsilon")?.addEventListener("change", () => drawRun(section));
  }
  if (controls) {
    const first = sections.find((section) => "first" in section.dataset);
    for (const name of ["data", "norm", "suite"]) {
      fill(controls[name], values(name).map((value) => [value, value]), first.dataset[name]);
    }
    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("change", (event) => {
      if (["data", "norm", "suite"].includes(event.target.name)) switchTables(event.target.name);
      else if (event.target.name !== "filter") switchColumns();
    });
    controls.filter.addEventListener("input", filter);
  }
  addEventListener("hashchange", route);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => all(document, "details").forEach((one) => (one.open = true)));
  route();
  if (sections.length) switchTables("data");
})();

"use strict";
// Everything here is drawn of the JSON in #data. Names are somebody's text: they only ever become text nodes.
(() => {
  const PAGE = 12;
  const OLD_HOURS = 26;
  const { panels } = JSON.parse(document.getElementById("data").textContent);

  const made = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };
  const drawn = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };

  // ---- an old report looks old ----

  const ago = (milliseconds) => {
    const minutes = Math.max(0, Math.round(milliseconds / 60000));
    if (minutes < 90) return `${minutes} min ago`;
    if (minutes < 48 * 60) return `${Math.round(minutes / 60)} hours ago`;
    return `${Math.round(minutes / 1440)} days ago`;
  };
  const tellAges = () => {
    const now = Date.now();
    for (const element of document.querySelectorAll(".ago[data-ago]")) {
      element.textContent = ago(now - Date.parse(element.dataset.ago));
    }
    const { success, written } = document.body.dataset;
    const since = Date.parse(success || written);
    const isOld = now - since > OLD_HOURS * 3600000;
    document.body.classList.toggle("is-old", isOld);
    const old = document.getElementById("old");
    old.hidden = !isOld;
    if (isOld) {
      const what = success ? "The last run that succeeded was" : "This page was written";
      old.textContent = `${what} ${ago(now - since)}. What happened since is not here: tidemark report writes it anew.`;
    }
  };

  // ---- values as text ----

  const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
  const seconds = (value) => {
    if (value < 60) return `${numbers.format(value)} s`;
    if (value < 3600) return `${numbers.format(value / 60)} min`;
    return value < 172800 ? `${numbers.format(value / 3600)} h` : `${numbers.format(value / 86400)} days`;
  };
  const FORMATS = {
    number: (value) => numbers.format(value),
    seconds,
    percent: (value) => `${numbers.format(value)} %`,
    time: (value) => String(value).replace("T", " ").replace(/(:\d\d)(:\d\d(\.\d+)?)?$/, "$1"),
  };
  const said = (column, value, row, at) => {
    if (value === null) return "–";
    let format = column.format;
    if (column.unit) format = { seconds: "seconds", percent: "percent" }[row[at[column.unit]]] || format;
    return typeof value === "number" || format === "time" ? (FORMATS[format] || String)(value) : String(value);
  };
  const isNumeric = (column) => ["number", "seconds", "percent"].includes(column.format);

  // ---- small pictures in cells ----

  const spark = (text) => {
    const width = 122, height = 22, step = 4;
    const left = width - 1 - (text.length - 1) * step;
    const svg = drawn("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
    const unknown = [...text].filter((each) => each === "-").length;
    const silent = text.length - text.replace(/0+$/, "").length;
    svg.append(drawn("path", { class: "base", d: `M0 ${height - 1.5}H${width}` }));
    svg.setAttribute("aria-label", `${text.length} days, ${unknown} not reported, silent for the last ${silent}`);
    let path = "", isDown = false;
    [...text].forEach((each, index) => {
      const x = left + index * step;
      if (each === "-") {
        svg.append(drawn("rect", { x: x - 2, y: 0, width: step, height, fill: "url(#hatched)" }));
        isDown = false;
      } else {
        path += `${isDown ? "L" : "M"}${x} ${height - 2 - Number(each) * 2}`;
        if (!isDown) path += "h.01";
        isDown = true;
      }
    });
    svg.append(drawn("path", { d: path }));
    return svg;
  };
  const strip = (text, panel) => {
    const width = Math.max(text.length * 5, 5), height = 16;
    const svg = drawn("svg", { width, height, role: "img" });
    const names = [...new Set(text)].map((each) => `${panel.legend[each] || each} ${[...text].filter((one) => one === each).length}`);
    svg.setAttribute("aria-label", names.join(", "));
    [...text].forEach((each, index) => {
      const isBad = panel.tones[each] === "bad";
      svg.append(drawn("rect", {
        x: index * 5, y: isBad ? 0 : panel.tones[each] === "quiet" ? 6 : 3, width: 4,
        height: isBad ? 16 : panel.tones[each] === "quiet" ? 4 : 10, fill: `var(--${panel.tones[each] || "quiet"})`,
      }));
    });
    return svg;
  };
  const cell = (panel, column, value, row, at) => {
    if (value === null) return made("td", { class: `none ${isNumeric(column) ? "number" : ""}` }, "–");
    if (column.format === "state") {
      return made("td", {}, made("span", { class: `state ${panel.tones[value] || ""}` }, String(value)));
    }
    if (column.format === "spark") return made("td", {}, spark(String(value)));
    if (column.format === "strip") return made("td", {}, strip(String(value), panel));
    const text = said(column, value, row, at);
    const kind = isNumeric(column) ? "number" : column.format === "time" ? "time" : text.length > 40 ? "wide" : "text";
    return made("td", { class: kind }, text);
  };

  // ---- tables: sorted, searched, a page at a time ----

  const compared = (one, other) => {
    if (one === other) return 0;
    if (one === null) return 1;
    if (other === null) return -1;
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  };
  const table = (panel, title) => {
    const at = Object.fromEntries(panel.columns.map((column, index) => [column.name, index]));
    const shown = panel.columns.filter((column) => !Object.values(panel.columns).some((each) => each.unit === column.name));
    const state = { sort: null, isDown: false, search: "", choice: null, page: 0 };
    const texts = panel.rows.map((row) => panel.columns
      .map((column, index) => (["spark", "strip"].includes(column.format) ? "" : said(column, row[index], row, at)))
      .join("\n").toLowerCase());
    const body = made("tbody");
    const count = made("span", { role: "status" });
    const turn = (by) => made("button", { type: "button", onclick: () => { state.page += by; fill(); } }, by < 0 ? "Previous" : "Next");
    const previous = turn(-1), next = turn(1);
    const heads = shown.map((column) => {
      const head = made("th", { scope: "col", class: isNumeric(column) ? "number" : null });
      head.append(made("button", { type: "button", onclick: () => {
        state.isDown = state.sort === column.name ? !state.isDown : isNumeric(column);
        state.sort = column.name;
        state.page = 0;
        fill();
      } }, column.label));
      return head;
    });
    const chosen = () => {
      const place = panel.filter ? at[panel.filter] : null;
      const order = panel.rows.map((_, index) => index).filter((index) =>
        texts[index].includes(state.search) && (state.choice === null || panel.rows[index][place] === state.choice));
      if (state.sort) {
        const by = at[state.sort];
        // what is not there comes last, whichever way
        order.sort((one, other) => {
          const [first, second] = [panel.rows[one][by], panel.rows[other][by]];
          const result = compared(first, second);
          return (state.isDown && first !== null && second !== null ? -result : result) || one - other;
        });
      }
      return order;
    };
    const fill = () => {
      const order = chosen();
      const pages = Math.max(1, Math.ceil(order.length / PAGE));
      state.page = Math.min(Math.max(0, state.page), pages - 1);
      const first = state.page * PAGE;
      body.replaceChildren(...order.slice(first, first + PAGE).map((index) => {
        const row = panel.rows[index];
        return made("tr", {}, ...shown.map((column) => cell(panel, column, row[at[column.name]], row, at)));
      }));
      heads.forEach((head, index) => {
        if (shown[index].name === state.sort) head.setAttribute("aria-sort", state.isDown ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const to = Math.min(first + PAGE, order.length);
      count.textContent = order.length ? `${numbers.format(first + 1)} to ${numbers.format(to)} of ${numbers.format(order.length)}` : "No row matches.";
      previous.disabled = state.page === 0;
      next.disabled = state.page >= pages - 1;
    };
    const tools = made("div", { class: "tools" });
    if (panel.rows.length > 8) {
      tools.append(made("input", { type: "search", placeholder: "Search", "aria-label": `Search in ${title}`,
        oninput: (event) => { state.search = event.target.value.trim().toLowerCase(); state.page = 0; fill(); } }));
    }
    if (panel.filter) {
      const place = at[panel.filter];
      const counts = new Map();
      for (const row of panel.rows) counts.set(row[place], (counts.get(row[place]) || 0) + 1);
      const buttons = [[null, panel.rows.length], ...counts].map(([value, number]) => {
        const button = made("button", { type: "button", "aria-pressed": String(value === null) }, `${value === null ? "all" : value} ${numbers.format(number)}`);
        button.addEventListener("click", () => {
          for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
          state.choice = value;
          state.page = 0;
          fill();
        });
        return button;
      });
      tools.append(made("div", { class: "choices" }, ...buttons));
    }
    fill();
    return [
      tools.childElementCount ? tools : null,
      made("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
        made("table", { class: "rows" }, made("thead", {}, made("tr", {}, ...heads)), body)),
      panel.rows.length > PAGE ? made("div", { class: "more" }, count, previous, next) : made("div", { class: "more", hidden: "" }, count),
    ].filter(Boolean);
  };
  const key = (panel) => {
    const items = [];
    if (panel.columns.some((column) => column.format === "strip")) {
      for (const [each, tone] of Object.entries(panel.tones)) {
        items.push(made("li", {}, made("i", { class: tone }), panel.legend[each] || each));
      }
    }
    if (panel.columns.some((column) => column.format === "spark") && panel.rows.some((row) => row.some((value, index) => panel.columns[index].format === "spark" && String(value).includes("-")))) {
      items.push(made("li", {}, made("i", { class: "hatched" }), "not reported"));
    }
    return items.length ? made("ul", { class: "key" }, ...items) : null;
  };

  // ---- charts, drawn when they come into sight ----

  const valuesOf = (panel) => panel.rows.map((row) => {
    const value = {};
    panel.columns.forEach((column, index) => {
      value[column.name] = row[index];
      if (column.format === "time" && row[index] !== null) {
        const text = String(row[index]).replace(" ", "T");
        value[`${column.name}__ms`] = Date.parse(text.length > 10 ? `${text}Z` : text);
      }
    });
    return value;
  });
  const draw = async (panel, index, place) => {
    const { spec } = panel.charts[index];
    const whole = { ...spec, datasets: { ...spec.datasets, rows: valuesOf(panel) } };
    await vegaEmbed(place, whole, { actions: false, renderer: "svg", tooltip: { theme: "custom" } });
    place.dataset.drawn = "";
  };
  const waiting = new Map();
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) drawNow(entry.target);
  }, { rootMargin: "300px" });
  const drawNow = (place) => {
    const [panel, index] = waiting.get(place) || [];
    if (!panel) return Promise.resolve();
    waiting.delete(place);
    seen.unobserve(place);
    return draw(panel, index, place);
  };
  const drawAll = () => Promise.all([...waiting.keys()].map(drawNow));
  window.addEventListener("beforeprint", drawAll);
  window.tidemarkDrawAll = drawAll;

  for (const panel of panels) {
    const place = document.querySelector(`[data-panel="${panel.name}"]`);
    if (!place) continue;
    const title = place.parentElement.querySelector("h4").textContent;
    if (!panel.charts.length) {
      place.replaceChildren(...[key(panel), ...table(panel, title)].filter(Boolean));
      continue;
    }
    const charts = made("div", { class: "charts" });
    panel.charts.forEach(({ label, legend }, index) => {
      const name = label ? `${title}: ${label}` : title;
      const chart = made("div", { class: "chart", role: "img", "aria-label": `${name}. The numbers are in the table below.` });
      const items = legend.map(([says, colour]) => {
        const sample = made("i", { class: colour === "hatched" ? "hatched" : null });
        if (colour !== "hatched") sample.style.background = colour;
        return made("li", {}, sample, says);
      });
      charts.append(made("div", { class: "framed" }, items.length ? made("ul", { class: "key" }, ...items) : null, chart));
      waiting.set(chart, [panel, index]);
    });
    const details = made("details", {}, made("summary", {}, "Numbers"));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(...table(panel, title));
    });
    place.replaceChildren(charts, details);
  }
  for (const chart of waiting.keys()) seen.observe(chart);
  tellAges();
  setInterval(tellAges, 60000);
})();

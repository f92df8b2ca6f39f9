// What pages gain where scripts run: the reader's times, drawn series, keys, a list that stays live.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Times are UTC in the page; here they become the reader's.
const clock = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
function localise(within) {
  for (const time of all("time[datetime]:not([data-day]):not([title])", within)) {
    const at = new Date(time.dateTime);
    time.title = time.dateTime;
    time.textContent = clock.format(at);
  }
}

// Light or dark: the system's until it is chosen, then a cookie's, which the server reads.
function themes() {
  const button = document.querySelector("[data-theme-toggle]");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
    draw();
  });
  dark.addEventListener("change", draw);
}

// Series are drawn from the tables that tell the same.
const HUES = ["--accent", "--related", "--bad", "--good", "--prior", "--ink"];
const drawn = [];
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
function values(table) {
  const rows = all("tbody tr", table).map((row) => all("td", row).map((cell) => Number(cell.dataset.v)));
  return all("thead th", table).map((_, i) => rows.map((row) => row[i]));
}
function spelled(unit, n) {
  if (n === null || n === undefined) return "–";
  if (unit !== "$") return n.toLocaleString();
  return "$" + n.toLocaleString(undefined, { maximumFractionDigits: n < 1 ? 4 : 2 });
}
function chart(place) {
  const table = document.getElementById(place.dataset.of);
  const unit = place.dataset.unit;
  const names = all("thead th", table).map((cell) => cell.textContent).slice(1);
  const data = values(table);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const said = (_, n) => spelled(unit, n);
  const series = names.map((label, i) => ({
    label, stroke: colour(HUES[i % HUES.length]), width: 1.75, points: { show: data[0].length < 3 }, value: said,
    dash: i && names.length === 2 ? [5, 4] : undefined,
  }));
  const size = () => ({ width: place.clientWidth, height: 200 });
  const options = {
    ...size(),
    series: [{ value: (_, s) => (s === null ? "–" : clock.format(new Date(s * 1000))) }, ...series],
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((n) => spelled(unit, n)) }],
    scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
    padding: [10, 8, 0, 0],
    cursor: { y: false, drag: { x: false, y: false } },
  };
  place.replaceChildren();
  place.setAttribute("aria-hidden", "true");
  const made = new uPlot(options, data, place);
  const watch = new ResizeObserver(() => made.setSize(size()));
  watch.observe(place);
  drawn.push(() => { watch.disconnect(); made.destroy(); });
}
function draw() {
  drawn.splice(0).forEach((undo) => undo());
  if (window.uPlot) all(".chart").forEach(chart);
}

// Keys.
function step(by) {
  const items = all("[data-item]");
  const at = items.indexOf(document.activeElement);
  const next = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : at + by];
  if (next) next.focus();
  return Boolean(next);
}
function keys() {
  const help = document.getElementById("help");
  const button = document.querySelector("[data-help]");
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const listed = event.target.matches("[data-item]");
    const done = {
      "/": () => { const first = document.querySelector("form input, form textarea"); first?.focus(); return first; },
      "?": () => { help.showModal(); return true; },
      j: () => step(1),
      k: () => step(-1),
      ArrowDown: () => listed && step(1),
      ArrowUp: () => listed && step(-1),
    }[event.key]?.();
    if (done) event.preventDefault();
  });
}

// The live list rests while nobody looks, or it was told to.
function live() {
  const label = document.querySelector("[data-live]");
  if (!label) return;
  label.hidden = false;
  const box = label.querySelector("input");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!box.checked || document.hidden) event.preventDefault();
  });
  document.addEventListener("htmx:afterSwap", () => {
    localise(document);
    all("table.list tbody tr").slice(300).forEach((row) => row.remove());
  });
}

localise(document);
themes();
keys();
live();
window.addEventListener("load", draw);

// The page's behaviour: tables that sort, and the questions behind a number. Text from the run enters the page
// by textContent alone. Exercised by tests/reports/test_html_page.py in a real browser.
"use strict";

const STEP = 20;
const data = JSON.parse(document.getElementById("examples").textContent);
const panel = document.getElementById("drill");
let shown = STEP;

function make(tag, text, name) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
}

// --- sorting

function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const unit = text.endsWith(" GiB") ? 1024 : 1;
  const number = unit * parseFloat(text.replaceAll("\u2212", "-").replace(/^[^\d+\-.]*(?=[+\-.]?\d)/, ""));
  return row.cells[column].classList.contains("name") || Number.isNaN(number) ? text : number;
}

function compare(one, two) {
  // Numbers before words and dashes, whichever way the column is turned.
  if (typeof one === "number" && typeof two === "number") return one - two;
  if (typeof one !== typeof two) return typeof one === "number" ? -1 : 1;
  return one.localeCompare(two, "en", { numeric: true });
}

function sortBy(header) {
  const table = header.closest("table");
  const column = header.cellIndex;
  const name = header.classList.contains("name");
  const before = header.getAttribute("aria-sort");
  const falling = before ? before === "ascending" : !name;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const rows = Array.from(table.tBodies[0].rows, (row) => [value(row, column), row]);
  rows.sort(([one], [two]) => {
    const order = compare(one, two);
    return typeof one === typeof two && falling ? -order : order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const header of document.querySelectorAll("th")) {
  const button = header.querySelector("button");
  if (button) button.addEventListener("click", () => sortBy(header));
}

// --- the questions behind a number; what is shown is in the address: #method=...&task=...&bucket=...&versus=...

function asked() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (!wanted.has("method") || !wanted.has("task")) return null;
  const method = data.methods.indexOf(wanted.get("method"));
  const named = wanted.has("versus") ? wanted.get("versus") : data.baseline;
  let versus = data.methods.indexOf(named);
  if (versus === method && !wanted.has("versus")) versus = data.methods.findIndex((_, place) => place !== method);
  return { method, versus, task: wanted.get("task"), bucket: wanted.get("bucket") || "all" };
}

function go(change) {
  const now = asked();
  const next = { method: data.methods[now.method], versus: data.methods[now.versus], task: now.task,
    bucket: now.bucket, ...change };
  location.hash = new URLSearchParams(next).toString();
}

function gap(example, now) {
  // An answer that counts in no mean has the score null.
  const [one, two] = [example.said[now.method]?.[0] ?? null, example.said[now.versus]?.[0] ?? null];
  return one !== null && two !== null ? Math.abs(one - two) : -1;
}

function chosen(now) {
  const tasks = data.tasks.filter((task) => task.name === now.task || (now.task === data.macro && task.mean));
  const found = tasks.flatMap((task) => task.examples.map((example) => ({ ...example, task: task.name })))
    .filter((example) => example.said[now.method] && (now.bucket === "all" || example.bucket === now.bucket));
  // The sort is stable: where the gap is the same the order is that of the ids.
  return { tasks, found: found.sort((one, two) => gap(two, now) - gap(one, now)) };
}

function select(label, options, current, change) {
  const box = make("label", label + " ");
  const list = box.appendChild(make("select"));
  for (const name of options) {
    const option = list.appendChild(make("option", name));
    option.value = name;
    option.selected = name === current;
  }
  list.addEventListener("change", () => change(list.value));
  return box;
}

function answers(example, now) {
  const box = make("div", undefined, "scroll");
  const table = box.appendChild(make("table"));
  const head = table.appendChild(make("thead")).insertRow();
  for (const name of ["method", "points", "said", "picked"]) head.append(make("th", name));
  const body = table.appendChild(make("tbody"));
  const first = [now.method, now.versus].filter((place) => place >= 0);
  const order = [...first, ...data.methods.keys()].filter((place, i, all) => all.indexOf(place) === i);
  for (const place of order) {
    const said = example.said[place];
    if (!said) continue;
    const [score, text, picked, error] = said;
    const row = body.insertRow();
    if (first.includes(place)) row.className = "chosen";
    row.insertCell().append(make("code", data.methods[place]));
    row.insertCell().textContent = score === null ? "\u2013" : (100 * score).toFixed(1);
    const wrong = error.startsWith("undefined: ") ? error : "failed: " + error;
    row.insertCell().append(error ? make("span", wrong, "quiet") : make("span", text || "(nothing)"));
    row.insertCell().textContent = picked;
  }
  return box;
}

function article(example, now) {
  const box = make("article", undefined, gap(example, now) > 0 ? "differs" : "");
  const header = box.appendChild(make("header"));
  header.append(make("code", example.id), make("span", example.task), make("span", "bucket " + example.bucket));
  if (gap(example, now) > 0) header.append(make("strong", "the two differ"));
  box.append(make("p", example.question, "question"), make("p", "Answer: " + example.answers.join(" | ")));
  for (const [before, gold, after] of example.evidence) {
    const quote = box.appendChild(make("blockquote", "… " + before));
    quote.append(make("mark", gold), after + " …");
  }
  box.append(answers(example, now));
  return box;
}

function count(now, tasks, found) {
  const total = tasks.reduce((sum, task) => sum + task.total, 0);
  const kept = tasks.reduce((sum, task) => sum + task.examples.length, 0);
  const differ = found.filter((example) => gap(example, now) > 0).length;
  const left = total > kept ? ` This page holds ${kept} of the ${total} questions, those first on which the ` +
    "methods differ most; any other: python -m reports show RUN_DIR --example ID." : "";
  return `${found.length} questions; on ${differ} the two methods score differently, and these come first.${left}`;
}

function drill() {
  const now = asked();
  panel.hidden = !now || now.method < 0;
  if (panel.hidden) return;
  const { tasks, found } = chosen(now);
  const title = make("h2", "Questions behind the number");
  const controls = make("div", undefined, "controls");
  const names = data.tasks.map((task) => task.name);
  const buckets = [...new Set(tasks.flatMap((task) => task.buckets))];
  controls.append(
    select("method", data.methods, data.methods[now.method], (method) => go({ method })),
    select("against", data.methods, data.methods[now.versus], (versus) => go({ versus })),
    select("task", [data.macro, ...names], now.task, (task) => go({ task, bucket: "all" })),
    select("bucket", ["all", ...buckets], now.bucket, (bucket) => go({ bucket })),
  );
  const list = make("div");
  list.append(...found.slice(0, shown).map((example) => article(example, now)));
  panel.replaceChildren(title, controls, make("p", count(now, tasks, found), "note"), list);
  if (found.length > shown) {
    const more = panel.appendChild(make("button", `${STEP} more of ${found.length - shown}`));
    more.addEventListener("click", () => {
      list.append(...found.slice(shown, shown + STEP).map((example) => article(example, now)));
      shown += STEP;
      more.textContent = `${STEP} more of ${found.length - shown}`;
      more.hidden = shown >= found.length;
    });
  }
}

function turn() {
  shown = STEP;
  drill();
  if (!panel.hidden) panel.scrollIntoView();
}

window.addEventListener("hashchange", turn);
turn();

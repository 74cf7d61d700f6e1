// Keeps the page fresh. Builds nodes from text only: what a client of the gateway said stays text.
const LINES_MAX = 50;
const COLUMNS = ["severity", "type", "decision", "ip", "route", "user", "detail", "reference"];
const at = (id) => document.getElementById(id);

function cell(name, text, className) {
  const node = document.createElement(name);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function counts(id, pairs) {
  at(id).replaceChildren(...pairs.map(([name, count]) => {
    const row = document.createElement("tr");
    const head = cell("th", name);
    head.scope = "row";
    row.append(head, cell("td", String(count), "number"));
    return row;
  }));
}

function line(event) {
  const row = cell("tr", "", event.severity);
  const time = new Date(event.time_unix_ms).toISOString().slice(11, 19);
  row.append(cell("td", time), ...COLUMNS.map((key) => cell("td", event[key])));
  return row;
}

function show(tick) {
  for (const id of ["open", "messages", "refusals", "audit_lost", "messages_top", "refusals_top"]) {
    at(id).textContent = String(tick[id]);
  }
  at("messages_path").setAttribute("d", tick.messages_path);
  at("refusals_path").setAttribute("d", tick.refusals_path);
  counts("routes", tick.routes);
  counts("reasons", tick.reasons);
  const lines = at("lines");
  lines.prepend(...tick.events.map(line));
  while (lines.childElementCount > LINES_MAX) lines.lastElementChild.remove();
  if (tick.more > 0) at("more").textContent = `${tick.more} more events in the last second are in the audit.`;
}

function say(text) {
  const state = at("state");
  if (state.textContent !== text) state.textContent = text;
}

const source = new EventSource("/live");
source.addEventListener("open", () => say("Live"));
source.addEventListener("error", () => say("Not connected; trying again"));
source.addEventListener("tick", (message) => show(JSON.parse(message.data)));

const logout = at("logout");
if (logout) {
  logout.hidden = false;
  logout.addEventListener("click", async () => {
    await fetch("/logout", { method: "POST" });
    location.assign("/login");
  });
}

// The demo page: opens sockets through the gate, sends what a person chose, shows what was decided.
// Everything a server sent is put on the page as text, never as markup.

import { attacks } from "./attacks.js";

const FLOOD_MESSAGES = 200;
const LOG_ENTRIES_MAX = 300;
const EXTRA_SOCKETS = 4;

const at = (id) => document.getElementById(id);
const counts = { sent: 0, delivered: 0, refused: 0 };
let session = { token: "", subject: "", admin: "", explain: "portcullis explain" };
let advice = new Map();
let socket = null;
let welcomed = false;
let lastDeliveredId = null;
let flood = null;
let sequence = 0;

const freshId = () => `${Date.now().toString(36)}-${(sequence++).toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
const clip = (text, most = 160) => (text.length > most ? `${text.slice(0, most)}… (${text.length} characters)` : text);

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** One line of the log: what happened, why, and what stands small beneath. */
function note(kind, what, why = "", meta = "") {
  at("empty").hidden = true;
  const line = element("li", kind);
  line.append(element("p", "what", what));
  if (why) line.append(element("p", "why", why));
  if (meta) line.append(element("p", "meta mono", meta));
  at("log").prepend(line);
  while (at("log").childElementCount > LOG_ENTRIES_MAX) at("log").lastElementChild.remove();
}

function count(what) {
  counts[what] += 1;
  at(`count-${what}`).textContent = String(counts[what]);
}

function showState(state, words) {
  at("state").dataset.state = state;
  at("state").textContent = words;
  const open = state === "open";
  for (const control of document.querySelectorAll(".needs-socket")) control.disabled = !open;
  document.querySelector("[data-door=leave]").disabled = !open;
}

function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** A browser can set no header on a WebSocket but the subprotocol, so the token travels there. */
const dial = (path, token) => (token ? new WebSocket(socketUrl(path), ["bearer", token]) : new WebSocket(socketUrl(path)));

function forged(token) {
  const cut = token.lastIndexOf(".") + 10;
  const swapped = token[cut] === "A" ? "B" : "A";
  return token.slice(0, cut) + swapped + token.slice(cut + 1);
}

const meaningOf = { 4001: "not authenticated", 4003: "forbidden", 4008: "too many", 1000: "normal", 1001: "going away", 1006: "no close frame", 1008: "policy", 1009: "too big", 1012: "restarting", 1013: "try later" };

function noteClose(event, wasWelcome) {
  const meaning = meaningOf[event.code] ? ` (${meaningOf[event.code]})` : "";
  note("closed", wasWelcome ? `The connection ended: ${event.code}${meaning}` : `Refused at the door: ${event.code}${meaning}`, event.reason);
}

function connect(path, token) {
  if (socket) socket.close(1000);
  welcomed = false;
  lastDeliveredId = null; // the gate remembers ids for a connection
  showState("closed", "connecting…");
  const opened = dial(path, token);
  socket = opened;
  opened.addEventListener("message", (event) => receive(event.data));
  opened.addEventListener("close", (event) => {
    noteClose(event, welcomed && socket === opened);
    if (socket !== opened) return;
    flood = null;
    socket = null;
    showState(welcomed ? "closed" : "refused", welcomed ? "not connected" : `refused with ${event.code}`);
    welcomed = false;
  });
}

function receive(data) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    note("", "The server said something that is not JSON", clip(String(data)));
    return;
  }
  if (message.type === "welcome") return welcome(message);
  if (message.type === "chat") return delivered(message);
  if (message.type === "error") return refused(message);
  note("", `The server said: ${clip(JSON.stringify(message))}`);
}

function welcome(message) {
  welcomed = true;
  showState("open", `connected as ${message.you}`);
  note("delivered", `Connected as ${message.you}`, `The gate verified the token and told the chat server who you are. ${message.online} online.`);
}

function delivered(message) {
  if (flood?.ids.has(message.id)) return floodDelivered(message.id);
  lastDeliveredId = message.id;
  if (message.from === session.subject) count("delivered");
  note("delivered", `${message.from}: ${clip(String(message.text))}`, "Delivered: the chat server got it and sent it to everyone.");
}

function refused(error) {
  count("refused");
  const wait = Number(error.retry_after_ms);
  if (flood && error.code === "message_rate") floodRefused();
  const worthALine = !flood || error.code !== "message_rate" || flood.refused <= 3;
  if (!worthALine) return;
  const why = [error.message, advice.get(error.code)].filter(Boolean).join(" · ");
  const retry = wait > 0 ? ` · try again in ${wait} ms` : "";
  note("refused", `Refused: ${error.code}`, why, `reference ${error.reference}${retry}`);
  if (error.reference) at("explain").textContent = `${session.explain} ${error.reference}`;
}

function send(text) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(text);
  count("sent");
  return true;
}

function startFlood() {
  flood = { ids: new Map(), refused: 0, delivered: 0 };
  at("dots").replaceChildren(...Array.from({ length: FLOOD_MESSAGES }, () => element("i")));
  for (let i = 0; i < FLOOD_MESSAGES; i += 1) {
    const id = freshId();
    if (!send(JSON.stringify({ type: "chat", id, text: `flood ${i + 1} of ${FLOOD_MESSAGES}` }))) break;
    flood.ids.set(id, i);
  }
}

function floodDelivered(id) {
  const dot = at("dots").children[flood.ids.get(id)];
  flood.delivered += 1;
  count("delivered");
  if (dot) dot.className = "delivered";
  floodProgress();
}

function floodRefused() {
  flood.refused += 1;
  floodProgress();
}

/** A refusal does not say which message it was, so dots turn red once everything is accounted for. */
function floodProgress() {
  at("flood-result").textContent = `${flood.delivered} delivered, ${flood.refused} refused`;
  if (flood.delivered + flood.refused < flood.ids.size) return;
  for (const dot of at("dots").children) if (!dot.className) dot.className = "refused";
  note("refused", `Flood over: ${flood.delivered} delivered, ${flood.refused} refused`, "The socket is still up. Honest traffic goes on once the rate is below the limit.");
  flood = null;
}

/** More sockets than one user may hold: the last ones are closed with 4008. */
function connectTooOften() {
  const opened = [];
  for (let i = 0; i < EXTRA_SOCKETS; i += 1) {
    const extra = dial("ws", session.token);
    opened.push(extra);
    extra.addEventListener("close", (event) => {
      if (event.code !== 1000) noteClose(event, false);
    });
  }
  setTimeout(() => opened.forEach((extra) => extra.close(1000)), 1500);
}

const doors = {
  token: () => connect("ws", session.token),
  none: () => connect("ws", ""),
  forged: () => connect("ws", forged(session.token)),
  foreign: () => connect("ws/somebody-else", session.token),
  many: connectTooOften,
  leave: () => socket?.close(1000),
};

const chosenAttack = () => attacks[Number(at("payload").value)];
const preview = () => { at("preview").textContent = clip(chosenAttack().make("an-id", lastDeliveredId ?? "an-id"), 300); };

function listen() {
  at("doors").addEventListener("click", (event) => doors[event.target.dataset.door]?.());
  at("say").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = at("text").value.trim();
    if (text) send(JSON.stringify({ type: "chat", id: freshId(), text }));
  });
  at("attack").addEventListener("submit", (event) => {
    event.preventDefault();
    const attack = chosenAttack();
    if (attack.needsLast && !lastDeliveredId) {
      note("", "Send an honest message first: a replay needs something to repeat.");
      return;
    }
    send(attack.make(freshId(), lastDeliveredId));
  });
  at("payload").append(...attacks.map((attack, i) => new Option(attack.name, String(i))));
  at("payload").addEventListener("change", preview);
  at("flood").addEventListener("click", () => { if (!flood) startFlood(); });
  at("clear").addEventListener("click", () => {
    at("log").replaceChildren();
    at("empty").hidden = false;
  });
  preview();
}

async function start() {
  listen();
  try {
    const answers = await Promise.all(["session.json", "verdicts.json"].map((path) => fetch(path)));
    const [own, verdicts] = await Promise.all(answers.map((answer) => answer.json()));
    session = own;
    advice = new Map(verdicts.map((row) => [row.label, row.advice]));
    at("live").href = session.admin;
    at("explain").textContent = `${session.explain} REFERENCE`;
  } catch (error) {
    note("closed", "The demo session could not be fetched", String(error));
  }
}

start();

// The dashboard: hears the app's samples, events and lines as server-sent events, and shows them. What comes from the app is only
// ever put on the page as text.

import { drawHeat, drawRates, SPAN } from "./charts.js";
import { age, bytes, clock, count, duration, percent } from "./format.js";

const LINES = 300; // kept of events and output
const RECENT = 10; // seconds that the tiles speak of

const at = (id) => document.getElementById(id);
const say = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text; };

let bounds = [], samples = [], skew = 0;

function element(name, text = "", style = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = style;
  return made;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const recent = () => samples.filter((sample) => sample.time > samples.at(-1).time - RECENT);

// The upper bound (seconds) of the bucket below which `share` of the counted requests are; null without any.
function quantile(buckets, share) {
  const counts = new Map();
  for (const [bucket, requests] of buckets) counts.set(bucket, (counts.get(bucket) ?? 0) + requests);
  let left = sum([...counts.values()]) * share;
  for (const bucket of [...counts.keys()].sort((a, b) => a - b)) {
    left -= counts.get(bucket);
    if (left <= 0) return bounds[Math.min(bucket, bounds.length - 1)];
  }
  return null;
}

function showTiles(last) {
  const over = recent(), seconds = sum(over.map((sample) => sample.seconds));
  const requests = sum(over.flatMap((sample) => sample.requests));
  const failed = sum(over.map((sample) => sample.requests[5] + sample.requests[0]));
  const buckets = over.flatMap((sample) => sample.duration);
  say("rate", count(requests / seconds));
  say("p50", duration(quantile(buckets, .5)));
  say("p99", duration(quantile(buckets, .99)));
  say("errors", requests ? percent(failed / requests) : "–");
  say("flight", count(sum(last.workers.map((worker) => worker.in_flight))));
  say("queue", last.queued ? `${count(last.queued)} wait to be accepted` : "requests");
  say("open", count(sum(last.workers.map((worker) => worker.open))));
  say("idle", `open, ${count(sum(last.workers.map((worker) => worker.idle)))} idle`);
  const shared = last.workers.length && last.workers.every((worker) => worker.proportional != null);
  say("memory", bytes(sum(last.workers.map((worker) => shared ? worker.proportional : worker.resident ?? 0))));
  say("memory-kind", shared ? "workers, shares divided" : "workers, shares in full");
  say("cpu", percent(sum(last.workers.map((worker) => worker.cpu ?? 0))));
}

function showState(last) {
  const ready = last.workers.filter((worker) => worker.state === "ready" || worker.state === "busy").length;
  at("dot").className = "dot " + (last.unready ? "bad" : last.reloading || ready < last.wanted ? "warn" : "good");
  say("state", last.unready ? `not ready: ${last.unready}` : `${ready} of ${last.wanted} workers ready`);
  say("facts", [`generation ${last.generation}`, `up ${age(last.uptime)}`, `${last.restarts} restart${last.restarts === 1 ? "" : "s"}`,
    ...last.listeners].join(" · "));
  say("wanted", String(last.wanted));
  if (last.reloading) banner(`Reload in progress: ${last.reloading}`);
  else if (at("banner").textContent.startsWith("Reload in")) banner("");
}

function banner(text, bad = false) {
  at("banner").hidden = !text;
  at("banner").className = bad ? "bad" : "";
  say("banner", text);
}

function showWorkers(last) {
  const over = recent(), total = new Map(), slow = new Map(), seconds = sum(over.map((sample) => sample.seconds));
  for (const sample of over)
    for (const worker of sample.workers) {
      total.set(worker.pid, (total.get(worker.pid) ?? 0) + worker.requests);
      slow.set(worker.pid, [...(slow.get(worker.pid) ?? []), ...worker.duration]);
    }
  const most = Math.max(1, ...total.values()), all = sum([...total.values()]);
  const rows = last.workers.flatMap((worker) => {
    const row = element("tr"), requests = total.get(worker.pid) ?? 0, share = element("td", "", "share served"), bar = element("i");
    bar.style.width = `${requests / most * 100}%`;
    bar.title = all ? percent(requests / all) : "";
    share.append(bar);
    row.append(element("td", String(worker.slot)), element("td", worker.state, worker.state),
      element("td", String(worker.generation)), element("td", String(worker.pid)), element("td", age(worker.age)), share,
      ...[count(requests / seconds), duration(quantile(slow.get(worker.pid) ?? [], .99)), String(worker.in_flight),
        String(worker.open)].map((text) => element("td", text, "served")),
      ...[worker.cpu == null ? "–" : percent(worker.cpu), bytes(worker.proportional ?? worker.resident)].map((text) => element("td", text)),
      ...[percent(worker.blocked), worker.lag ? duration(worker.lag) : "–"].map((text) => element("td", text, "served")));
    if (!worker.oldest) return [row];
    const oldest = element("tr", "", "oldest"), cell = element("td", `for ${duration(worker.oldest.age)}: ${worker.oldest.method} ${worker.oldest.path}`);
    cell.colSpan = 14;
    oldest.append(cell);
    return [row, oldest];
  });
  at("workers").replaceChildren(...rows);
  const shares = last.workers.map((worker) => total.get(worker.pid) ?? 0);
  say("balance", all && shares.length > 1 ? `busiest and idlest differ by ${percent(1 - Math.min(...shares) / most)} over ${RECENT} s` : "");
}

function draw() {
  const now = Date.now() / 1e3 + skew;
  samples = samples.filter((sample) => sample.time > now - SPAN);
  drawRates(at("rates"), samples, now);
  drawHeat(at("heat"), samples, now, bounds);
}

function take(sample) {
  samples.push(sample);
  skew = sample.time - Date.now() / 1e3;
  showState(sample);
  showTiles(sample);
  showWorkers(sample);
  draw();
}

// An event with its fields, as the log writes them.
const told = (event) => [event.text, ...Object.entries(event.fields ?? {}).map(([name, value]) => `${name}=${value}`)].join("  ");

// A line on top of a list whose oldest ones go.
function add(list, time, text, style) {
  const line = element("li", "", style), moment = element("time", clock(time));
  moment.dateTime = new Date(time * 1e3).toISOString();
  line.append(moment, text);
  at(list).prepend(line);
  while (at(list).children.length > LINES) at(list).lastElementChild.remove();
}

const HEARD = {
  hello(hello) {
    document.title = `${hello.app} · forkcluster`;
    say("app", hello.app);
    document.body.className = hello.mode;
    at("actions").hidden = !hello.actions;
    say("output-note", hello.output);
    bounds = hello.bounds;
    samples = [];
    at("events").replaceChildren();
    at("output").replaceChildren();
    for (const sample of hello.samples) take(sample);
  },
  sample: take,
  event: (event) => add("events", Date.parse(event.time) / 1e3, told(event), event.level),
  line: (line) => add("output", line.time, line.text, line.stream),
};

function listen() {
  const source = new EventSource("live");
  for (const [name, hear] of Object.entries(HEARD))
    source.addEventListener(name, (message) => hear(JSON.parse(message.data)));
  source.onopen = () => banner("");
  source.onerror = () => {
    at("dot").className = "dot bad";
    banner("No connection to the app: it is stopped, or its admin process is being replaced. Trying again …", true);
  };
}

// Asks for the token once, and keeps it for this tab only.
async function act(path, body) {
  const token = sessionStorage.getItem("token") ?? prompt("The token of --admin-actions");
  if (!token) return;
  at("actions").querySelectorAll("button").forEach((button) => { button.disabled = true; });
  try {
    const answer = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { Authorization: `Bearer ${token}` } });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) sessionStorage.setItem("token", token);
    else if (answer.status === 401 || answer.status === 403) sessionStorage.removeItem("token");
    banner(answer.ok ? "" : [said.error?.message ?? `refused (${answer.status})`, said.error?.details].filter(Boolean).join("\n"), true);
  } finally {
    at("actions").querySelectorAll("button").forEach((button) => { button.disabled = false; });
  }
}

at("reload").onclick = () => { if (confirm("Reload the app?")) act("reload", {}); };
at("more").onclick = () => act("scale", { workers: "+1" });
at("fewer").onclick = () => { if (confirm("Stop one worker?")) act("scale", { workers: "-1" }); };
addEventListener("resize", draw);
listen();

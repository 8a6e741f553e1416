// Review: every decision is a key, the next picture comes at once, and u takes the last decision back.
"use strict";
const list = document.getElementById("cases");
const cases = list ? [...list.children] : [];
const labels = JSON.parse(list?.dataset.labels || "[]");
const one = list?.dataset.view === "one";
const began = Date.now();
let now = 0;
let decided = 0; // in this sitting, on this sheet
let sending = Promise.resolve(); // decisions are sent one after another, while the eye is further on already
const AHEAD = 4; // so many before the end of a sheet the next one is fetched
let prefetched = false;
const past = []; // what was decided here: the case, and how to take it back

const open = (item) => item && !item.dataset.verdict;

function show(index) {
  now = Math.max(0, Math.min(index, cases.length - 1));
  cases.forEach((item, at) => item.classList.toggle("current", at === now));
  const item = cases[now];
  document.getElementById("other").hidden = !item.dataset.others.trim();
  item.focus({ preventScroll: one });
  if (!one) item.scrollIntoView({ block: "nearest" });
  tell();
  prefetch().catch(() => {}); // it only saves time: without it the next sheet loads when it is opened
}

function tell() {
  const total = Number(list.dataset.total);
  const left = total - decided;
  const pace = (Date.now() - began) / 1000 / Math.max(decided, 1);
  const time = decided < 3 ? "" : pace * left < 60 ? ", less than a minute" : `, about ${Math.round((pace * left) / 60)} min`;
  document.getElementById("told").textContent = `${decided} decided, ${left.toLocaleString()} to look at${time}`;
  document.getElementById("done").value = decided;
}

function settle(item, verdict, words) {
  item.dataset.verdict = verdict;
  item.querySelector(".verdict-mark").textContent = words;
  decided += 1;
}

function reopen(item) {
  if (open(item)) return;
  delete item.dataset.verdict;
  item.querySelector(".verdict-mark").textContent = "";
  decided -= 1;
}

// Go on to the next one that is open, with `around` to those before as well; past the last, to the next sheet.
async function advance(around = false) {
  let after = cases.findIndex((item, at) => at > now && open(item));
  if (after < 0 && around) after = cases.findIndex(open);
  if (after >= 0) return show(after);
  await sending;
  if (cases.some((item) => item.dataset.failed)) return;
  location.assign(nextSheet(list, cases.filter(open).length));
}

async function prefetch() {
  if (prefetched || now < cases.length - AHEAD) return;
  prefetched = true;
  await sending;
  await fetchPictures(nextSheet(list, cases.filter(open).length));
}

// What a verdict asks of the API; resolves to what takes it back.
async function send(item, verdict, label) {
  const { id, source } = item.dataset;
  const conflict = item.dataset.case === "conflict";
  if (conflict && ["keep", "other", "label"].includes(verdict)) {
    const right = verdict === "other" ? item.dataset.others.trim().split(" ")[0] : id;
    return { batch: await post(`/v1/images/${right}/resolve`, label ? { label, force: true } : {}) };
  }
  const set = label ? { label, state: "active" } : { state: verdict === "keep" ? "active" : "rejected" };
  const reason = { keep: "reviewed", label: "reviewed", background: "background" }[verdict];
  // One person looks at one picture here, so that a film's frame may get a class of its own.
  const batch = await post("/v1/image-changes", { image_ids: [id], set, ...(reason ? { reason } : {}), force: Boolean(label) });
  const marked = item.dataset.case === "empty" && verdict === "keep" && source === "movie";
  if (marked) await mark(id, "PUT", { mark: "keep" }); // a frame that was called empty and is not, teaches the ranking
  return { batch, marked };
}

const mark = (id, method, body) => call(`/v1/images/${id}/mark`, undefined, {
  method, headers: { "Content-Type": "application/json" }, ...(body ? { body: JSON.stringify(body) } : {}),
});

function decide(verdict, label) {
  const item = cases[now];
  if (!open(item)) return advance();
  const words = { keep: "kept", reject: "rejected", background: "background", other: "the other is right", label }[verdict];
  const entry = { items: [item], back: null };
  settle(item, verdict, words);
  // The other pictures of a resolved conflict are settled with it.
  const others = new Set(item.dataset.others.trim().split(" ").filter(Boolean));
  if (item.dataset.case === "conflict" && verdict !== "reject" && verdict !== "background") {
    for (const twin of cases) if (others.has(twin.dataset.id) && open(twin)) { settle(twin, verdict, words); entry.items.push(twin); }
  }
  past.push(entry);
  sending = sending.then(async () => { entry.back = await send(item, verdict, label); }).catch((error) => {
    entry.items.forEach(reopen);
    past.splice(past.indexOf(entry), 1);
    item.dataset.failed = "yes";
    show(cases.indexOf(item));
    complain(error);
  });
  delete item.dataset.failed;
  return advance(!one);
}

async function undo() {
  const entry = past.pop();
  await sending;
  if (!entry?.back) return say("There is nothing to take back on this sheet.");
  await post(`/v1/image-changes/${entry.back.batch.batch_id}/undo`, {});
  if (entry.back.marked) await mark(entry.items[0].dataset.id, "DELETE");
  entry.items.forEach(reopen);
  show(cases.indexOf(entry.items[0]));
  say("Taken back.");
}

async function press(key) {
  const simple = { k: "keep", x: "reject", b: "background" }[key];
  if (simple) return decide(simple);
  if (key === "o" && !document.getElementById("other").hidden) return decide("other");
  if (/^[0-9]$/.test(key) && labels[(Number(key) + 9) % 10]) return decide("label", labels[(Number(key) + 9) % 10]);
  if (key === "c") { const answer = await askLabel(); return answer && decide("label", answer.label); }
  if (key === "u") return undo();
  if (key === "ArrowRight") return one || cases[now + 1] === undefined ? advance() : show(now + 1);
  if (key === "ArrowLeft") return show(now - 1);
  const columns = one ? 1 : getComputedStyle(list).gridTemplateColumns.split(" ").length;
  if (key === "ArrowDown") return show(now + columns);
  if (key === "ArrowUp") return show(now - columns);
  return undefined;
}

if (cases.length) {
  list.classList.add("live");
  document.addEventListener("keydown", (event) => {
    const key = actionKey(event);
    if (key === null || event.repeat && !key.startsWith("Arrow")) return;
    if (key.startsWith("Arrow") || key === "c") event.preventDefault();
    press(key).catch(complain);
  });
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => press(button.dataset.key).catch(complain));
  cases.forEach((item, at) => item.addEventListener("click", (event) => { if (!event.target.closest("a")) show(at); }));
  document.getElementById("undo").addEventListener("click", () => undo().catch(complain));
  show(0);
}

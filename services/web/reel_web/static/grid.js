// The grid of a data set: choose pictures one by one or by range, change them at once, take it back.
"use strict";
const bulk = document.getElementById("bulk");
const STATES = { active: "made active", rejected: "rejected", quarantined: "put in quarantine", duplicate: "said to repeat the first" };
let anchor = null; // where a range begins
let first = null; // the picture that others would repeat
let everything = false; // whether all that the filter finds is meant, not only what this page shows
let shift = false;

const boxes = () => [...document.querySelectorAll("#tiles input[type=checkbox]")];
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);
const filter = () => JSON.parse(document.getElementById("grid").dataset.filter || "null");
const total = () => Number(document.getElementById("grid").dataset.total);

function show() {
  const count = everything ? total() : chosen().length;
  bulk.hidden = !count;
  document.getElementById("count").textContent = count ? `${count.toLocaleString()} chosen` : "";
  document.getElementById("repeat").disabled = everything || count < 2;
  document.body.classList.toggle("choosing", count > 0);
}

function choose(box, on) {
  box.checked = on;
  everything = false;
  if (on && first === null) first = box.value;
  if (!on && first === box.value) first = chosen()[0] ?? null;
}

function clicked(box) {
  const all = boxes();
  if (shift && anchor && all.includes(anchor)) {
    const [from, to] = [all.indexOf(anchor), all.indexOf(box)].sort((a, b) => a - b);
    for (const one of all.slice(from, to + 1)) choose(one, box.checked);
  } else {
    choose(box, box.checked);
  }
  anchor = box;
  show();
}

function leave() {
  for (const box of boxes()) box.checked = false;
  [anchor, first, everything] = [null, null, false];
  show();
}

async function act(set, words, more = {}) {
  const ids = chosen();
  if (!everything && !ids.length) return;
  const place = boxes().indexOf(document.activeElement);
  await change({ ...(everything ? { filter: filter() } : { image_ids: ids }), set, ...more }, words);
  await after(place);
}

async function after(place) {
  leave();
  await renew("facets", "grid");
  boxes()[Math.min(Math.max(place, 0), boxes().length - 1)]?.focus();
}

function press(button) {
  const { state, reason } = button.dataset;
  if (state === "duplicate") {
    const others = chosen().filter((id) => id !== first);
    if (!others.length) return;
    change({ image_ids: others, set: { state, duplicate_of: first } }, STATES[state]).then(() => after(0)).catch(complain);
  } else {
    act({ state }, reason ? "rejected as background" : STATES[state], reason ? { reason } : {}).catch(complain);
  }
}

async function relabel() {
  const answer = await askLabel();
  if (answer) await act({ label: answer.label }, `filed under ${answer.label}`, answer.force ? { force: true } : {});
}

// Up and down go by what stands there, however many columns fit.
function move(key) {
  const all = boxes();
  const at = all.indexOf(document.activeElement);
  if (at < 0) return false;
  const columns = all.filter((box) => box.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const next = all[at + step];
  if (!next) return true;
  next.focus();
  if (shift) { anchor ??= all[at]; next.checked = true; clicked(next); }
  return true;
}

if (bulk) {
  document.addEventListener("keydown", (event) => { shift = event.shiftKey; });
  document.addEventListener("keyup", (event) => { shift = event.shiftKey; });
  document.addEventListener("click", (event) => {
    shift = event.shiftKey;
    const tile = event.target.closest("#tiles .tile");
    const box = tile?.querySelector("input[type=checkbox]");
    if (event.target.matches("#tiles input[type=checkbox]")) return clicked(event.target);
    // With a choice begun, a click anywhere on a tile goes on with it.
    if (box && (shift || document.body.classList.contains("choosing")) && !event.target.closest("label")) {
      event.preventDefault();
      box.checked = shift || !box.checked;
      clicked(box);
    }
  });
  for (const button of bulk.querySelectorAll("[data-state]")) button.addEventListener("click", () => press(button));
  document.getElementById("label").addEventListener("click", () => relabel().catch(complain));
  document.getElementById("none").addEventListener("click", leave);
  document.getElementById("everything")?.addEventListener("click", () => { everything = true; show(); });
  document.getElementById("undo").addEventListener("click", () => takeBack().then(() => after(0)).catch(complain));
  document.addEventListener("keydown", (event) => {
    const key = actionKey(event);
    if (key === null) return;
    if (key.startsWith("Arrow") && move(key)) return event.preventDefault();
    if (key === "Escape") return leave();
    if (key === "u") return takeBack().then(() => after(boxes().indexOf(document.activeElement))).catch(complain);
    if (bulk.hidden) return;
    if (key === "c") { event.preventDefault(); return relabel().catch(complain); }
    const button = [...bulk.querySelectorAll("[data-state]")].find((one) => one.querySelector("kbd").textContent === key);
    if (button && !button.disabled) press(button);
  });
}
if (matchMedia("(max-width: 46rem)").matches) document.getElementById("facets").open = false;

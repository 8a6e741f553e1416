// The model page: its gates' verdicts, and heat maps over its wrong answers. Needs calls.js.
"use strict";
const gates = document.getElementById("gates");
const marks = { passed: "succeeded", failed: "failed" };

call(gates.dataset.path).then((report) => {
  const list = Object.assign(document.createElement("ul"), { className: "gates" });
  for (const gate of report.gates) {
    const state = Object.assign(document.createElement("span"), { className: `state ${marks[gate.state] || "queued"}`, textContent: gate.state.replace("-", " ") });
    const line = document.createElement("li");
    line.append(Object.assign(document.createElement("b"), { textContent: gate.name }), state, Object.assign(document.createElement("span"), { className: "soft", textContent: gate.says }));
    list.append(line);
  }
  const verdict = report.passed ? "It may serve: no gate fails" : "It may not serve: a gate fails";
  const against = report.against ? ", against the model that is active now." : ".";
  gates.querySelector("p").replaceWith(Object.assign(document.createElement("p"), { className: report.passed ? "soft" : "alarm", textContent: verdict + against }), list);
}).catch((error) => { gates.querySelector("p").append(` ${error.message}`); });

const model = location.pathname.split("/")[2];
const waiting = new Map(); // picture -> the explanation that is on its way or there

function explained(card) {
  if (!waiting.has(card)) {
    const labels = card.dataset.labels.split(" ");
    const job = post("/v1/explanations", { key: card.dataset.key, model, labels }).then((made) => ended(made, undefined, () => {}));
    waiting.set(card, job.then((done) => new Map(done.result.explanations.map((each) => [each.label, each.gradcam]))));
    waiting.get(card).catch(() => waiting.delete(card));
  }
  return waiting.get(card);
}

async function look(card, label) {
  const over = card.querySelector(".over");
  const buttons = [...card.querySelectorAll("[data-label]")];
  const chosen = buttons.find((button) => button.dataset.label === label);
  if (chosen.getAttribute("aria-pressed") === "true") {
    over.hidden = true;
    return chosen.setAttribute("aria-pressed", "false");
  }
  card.classList.add("busy");
  try {
    const found = (await explained(card)).get(label);
    if (!found) throw new Error("This kind of network has no heat map.");
    over.src = found.url;
    over.alt = `What speaks for ${label}`;
    over.hidden = false;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
  } finally {
    card.classList.remove("busy");
  }
}

const refusal = document.getElementById("refusal");
const show = (error) => { refusal.textContent = error.message; refusal.hidden = false; };
for (const hidden of document.querySelectorAll(".looks, .looks-all")) hidden.hidden = false;
document.addEventListener("click", (event) => {
  const button = event.target.closest(".looks [data-label]");
  if (button) look(button.closest(".look"), button.dataset.label).catch(show);
});

const all = document.querySelector(".looks-all");
all?.querySelector("button").addEventListener("click", async () => {
  const cards = [...document.querySelectorAll("#losses .look")];
  const told = all.querySelector("[role=status]");
  all.querySelector("button").disabled = true;
  let done = 0;
  await Promise.allSettled(cards.map(async (card) => {
    const first = card.querySelector("[data-label]");
    if (first.getAttribute("aria-pressed") !== "true") await look(card, first.dataset.label);
    told.textContent = `${(done += 1)} of ${cards.length}`;
  }));
  told.textContent = done === cards.length ? "" : `${cards.length - done} could not be explained; try again.`;
  all.querySelector("button").disabled = false;
});

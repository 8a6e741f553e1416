// The page of one picture: decide by button or key, and take it back.
"use strict";
const decide = document.querySelector(".actions");
const WORDS = { active: "made active", rejected: "rejected", quarantined: "put in quarantine" };
const ids = [document.getElementById("live").dataset.id];

async function decided(body, words) {
  await change({ image_ids: ids, ...body }, words);
  await again();
}

async function again() {
  await renew("live");
  listen();
}

async function relabel() {
  const answer = await askLabel();
  if (answer) await decided({ set: { label: answer.label }, force: answer.force }, `filed under ${answer.label}`);
}

function press({ state, reason }) {
  decided({ set: { state }, ...(reason ? { reason } : {}) }, reason ? "rejected as background" : WORDS[state]).catch(complain);
}

function listen() {
  for (const button of document.querySelectorAll(".actions [data-state]")) button.addEventListener("click", () => press(button.dataset));
  document.getElementById("label")?.addEventListener("click", () => relabel().catch(complain));
}

if (decide) {
  listen();
  document.getElementById("undo").addEventListener("click", () => takeBack().then(again).catch(complain));
  document.addEventListener("keydown", (event) => {
    const key = actionKey(event);
    if (key === "u") takeBack().then(again).catch(complain);
    if (key === "c") { event.preventDefault(); relabel().catch(complain); }
    const button = [...document.querySelectorAll(".actions [data-state]")].find((one) => one.querySelector("kbd").textContent === key);
    if (button) press(button.dataset);
  });
}

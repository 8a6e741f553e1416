// The demo: send a picture, show the probabilities, then fetch and show the heat map of any label.
// The calls themselves are in calls.js, what the address says of the labels chosen is in try_view.js.
"use strict";
const $ = (id) => document.getElementById(id);
const [zone, file, problem, result, stage] = ["drop", "file", "problem", "result", "stage"].map($);
const [picture, overlay, controls, note] = ["picture", "overlay", "controls", "note"].map($);
const beside = { stage: $("stage2"), picture: $("picture2"), overlay: $("overlay2"), note: $("note2"), label: $("versus") };
let run = null; // what is on the screen: its signal, bytes, upload key, answer, explanations by label, chosen labels
if (zone.dataset.visitor === "yes") credentials = "omit";

const METHODS = ["gradcam", "guided_backprop", "guided"];
const words = { gradcam: "Warm colours mark", guided_backprop: "The lines mark, pixel by pixel,", guided: "Lines where the heat is mark" };
const people = (label) => (label.charAt(0).toUpperCase() + label.slice(1)).replace(/[-_]/g, " ");
const percent = (p) => (p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);

function refuse(error, title = "That did not work") {
  if (error.name === "AbortError") return;
  problem.replaceChildren(Object.assign(document.createElement("strong"), { textContent: error.title || title }));
  problem.append(error.message);
  problem.hidden = false;
}

async function start(blob) {
  problem.hidden = true;
  if (!blob?.type.startsWith("image/")) {
    return refuse(new Error("Choose a JPEG, PNG, WebP, GIF or BMP file."), "That is not a picture");
  }
  if (blob.size > Number(zone.dataset.bytes)) {
    return refuse(new Error(`Pictures may have up to ${zone.dataset.size}. Choose a smaller one.`), "The picture is too large");
  }
  run?.stop.abort();
  const mine = (run = { stop: new AbortController(), blob, shown: {}, label: null, versus: null });
  URL.revokeObjectURL(picture.src);
  beside.picture.src = picture.src = URL.createObjectURL(blob);
  for (const each of [stage, beside.stage]) each.classList.remove("busy");
  for (const each of [overlay, beside.overlay]) each.removeAttribute("src");
  beside.label.value = "";
  beside.stage.closest("figure").hidden = true;
  controls.disabled = true;
  const began = performance.now();
  try {
    const answer = await post("/v1/models/active/predict?top_k=3", blob, mine.stop.signal);
    mine.answer = answer;
    tell(answer, performance.now() - began);
    document.dispatchEvent(new CustomEvent("answered", { detail: mine }));
    await Promise.all([explain(view.wished("as") || answer.predictions[0].label), compare(view.wished("versus"))]);
  } catch (error) {
    if (run !== mine) return;
    result.hidden = !mine.label; // without an answer the labels still standing belong to the picture before
    refuse(error);
  }
}

function tell(answer, took) {
  const [first, second] = answer.predictions;
  const unsure = !answer.confident;
  $("verdict").textContent = unsure && second ? `${people(first.label)} or ${people(second.label)}?` : people(first.label);
  $("kicker").textContent = unsure ? "Not confident" : "This looks like";
  $("rows").replaceChildren(...answer.predictions.map(row));
  $("timing").textContent = `Answered in ${Math.round(took)} ms by ${answer.model}. Choose a label to see its heat map.`;
  zone.classList.add("compact");
  $("invite").textContent = "Try another picture";
  result.hidden = false;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    for (const fill of document.querySelectorAll(".fill")) fill.style.width = `${100 * fill.dataset.share}%`;
  }));
}

function row({ label, probability }) {
  const made = $("row").content.firstElementChild.cloneNode(true);
  const button = made.querySelector("button");
  button.textContent = people(label);
  button.dataset.label = label;
  button.addEventListener("click", () => explain(label).catch(refuse));
  made.querySelector(".percent").textContent = percent(probability);
  made.querySelector(".fill").dataset.share = probability;
  return made;
}

async function explain(label) {
  const mine = run;
  mine.label = label;
  problem.hidden = true;
  $("as").value = label;
  view.keep();
  for (const button of $("rows").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.label === label));
  }
  await fetched(mine, label, stage, note, () => mine.label === label);
}

async function compare(label = beside.label.value) {
  const mine = run;
  mine.versus = label || null;
  beside.label.value = label;
  view.keep();
  beside.stage.closest("figure").hidden = !label;
  if (label) await fetched(mine, label, beside.stage, beside.note, () => mine.versus === label);
}

// Have a label explained, once for each picture, and show it where `wanted` still says so.
async function fetched(mine, label, place, caption, wanted) {
  const current = () => run === mine && wanted();
  if (!mine.shown[label]) {
    place.classList.add("busy");
    caption.textContent = `Looking for what speaks for ${people(label)} …`;
    try {
      const { signal } = mine.stop;
      mine.upload ??= post("/v1/uploads", mine.blob, signal);
      const { key } = await mine.upload;
      const waiting = () => { if (current()) caption.textContent = "Waiting for a free explainer …"; };
      const asked = { key, labels: [label], methods: METHODS };
      const job = await ended(await post("/v1/explanations", asked, signal), signal, waiting);
      mine.shown[label] = { ...job.result.explanations[0], job: job.id };
      document.dispatchEvent(new CustomEvent("explained", { detail: { mine, job, key } }));
    } catch (error) {
      mine.upload = undefined;
      if (current()) caption.textContent = "The heat map could not be drawn.";
      throw error;
    } finally {
      if (current()) place.classList.remove("busy");
    }
  }
  if (current()) show();
}

function show() {
  const method = document.querySelector("[name=method]:checked").value;
  for (const [label, place, caption] of [[run.label, overlay, note], [run.versus, beside.overlay, beside.note]]) {
    const found = run.shown[label];
    if (!found) continue;
    if (found[method]) place.src = found[method].url; else place.removeAttribute("src");
    place.alt = `What speaks for ${people(label)}`;
    place.style.opacity = $("opacity").value / 100;
    caption.textContent = found[method] ? `${words[method]} what speaks for ${people(label)}, ${percent(found.probability)}.` : "This kind of network has no such picture.";
  }
  controls.disabled = false;
}

overlay.addEventListener("error", () => {
  run.shown = {};
  note.textContent = "The link to the heat map has run out. Choose the label again.";
});
controls.addEventListener("input", (event) => {
  if (event.target.id === "as") explain(event.target.value).catch(refuse);
  else if (event.target === beside.label) compare().catch(refuse);
  else { view.keep(); if (run.shown[run.label]) show(); }
});
for (const input of [file, $("camera")]) input.addEventListener("change", () => { start(input.files[0]); input.value = ""; });

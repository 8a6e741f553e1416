// The demo: send a picture, show the probabilities, then fetch and show the heat map of any label.
// The calls themselves are in calls.js.
"use strict";
const $ = (id) => document.getElementById(id);
const [zone, file, problem, result, stage] = ["drop", "file", "problem", "result", "stage"].map($);
const [picture, overlay, controls, note] = ["picture", "overlay", "controls", "note"].map($);
let run = null; // what is on the screen: its signal, bytes, upload key, explanations by label, chosen label

const words = { gradcam: "Warm colours mark", guided: "The lines mark, pixel by pixel," };
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
  const mine = (run = { stop: new AbortController(), blob, shown: {}, label: null });
  stage.classList.remove("busy");
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  overlay.removeAttribute("src");
  controls.disabled = true;
  const began = performance.now();
  try {
    const answer = await post("/v1/models/active/predict?top_k=3", blob, mine.stop.signal);
    tell(answer, performance.now() - began);
    await explain(answer.predictions[0].label);
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
  $("kicker").textContent = unsure ? "Not sure" : "This looks like";
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
  for (const button of $("rows").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.label === label));
  }
  if (!mine.shown[label]) {
    stage.classList.add("busy");
    note.textContent = `Looking for what speaks for ${people(label)} …`;
    try {
      const { signal } = mine.stop;
      mine.upload ??= post("/v1/uploads", mine.blob, signal);
      const { key } = await mine.upload;
      const waiting = () => { if (run === mine) note.textContent = "Waiting for a free explainer …"; };
      const job = await ended(await post("/v1/explanations", { key, labels: [label] }, signal), signal, waiting);
      mine.shown[label] = job.result.explanations[0];
    } catch (error) {
      mine.upload = undefined;
      if (run === mine) note.textContent = "The heat map could not be drawn.";
      throw error;
    } finally {
      if (run === mine && mine.label === label) stage.classList.remove("busy");
    }
  }
  if (run === mine && mine.label === label) show();
}

function show() {
  const found = run.shown[run.label];
  const method = document.querySelector("[name=method]:checked").value;
  if (found[method]) overlay.src = found[method].url; else overlay.removeAttribute("src");
  overlay.alt = `What speaks for ${people(run.label)}`;
  overlay.style.opacity = $("opacity").value / 100;
  note.textContent = found[method]
    ? `${words[method]} what speaks for ${people(run.label)}.`
    : "This kind of network has no such picture.";
  stage.classList.remove("busy");
  controls.disabled = false;
}

overlay.addEventListener("error", () => {
  run.shown = {};
  note.textContent = "The link to the heat map has run out. Choose the label again.";
});
controls.addEventListener("input", () => { if (run?.shown[run.label]) show(); });
file.addEventListener("change", () => { start(file.files[0]); file.value = ""; });
// A picture may be dropped anywhere on the page.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", type === "dragover");
    if (type === "drop") start(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) start(event.clipboardData.files[0]);
});

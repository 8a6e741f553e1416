// Splits and leaks: scenes as wide as they last, a pin for one by click or key, and a new version with the pins.
"use strict";
const dialog = document.getElementById("scene");
const WHERE = { train: "training", valid: "validation", excluded: "neither side" };
const LEAST_PIXELS = 1.2; // a second of film
const remembered = new Map(); // film -> the scene that Tab comes back to

// Scenes are as wide as they last; a film too long for one row goes on in the next.
function draw() {
  for (const strip of document.querySelectorAll(".scenes")) {
    const scenes = [...strip.children];
    const fits = strip.clientWidth / Number(strip.dataset.seconds);
    const perSecond = Math.max(fits, LEAST_PIXELS);
    strip.classList.toggle("rows", perSecond > fits);
    for (const scene of scenes) {
      const { seconds } = scene.dataset;
      scene.style.flex = perSecond > fits ? `${seconds} 0 ${Math.max(5, seconds * perSecond)}px` : `${seconds} 1 0`;
      scene.tabIndex = -1;
    }
    const last = scenes.find((scene) => scene.dataset.scene === remembered.get(strip.dataset.movie));
    if (scenes.length) (last ?? scenes[0]).tabIndex = 0;
  }
  document.getElementById("build")?.addEventListener("click", () => build().catch(complain));
}

function focusOn(scene) {
  for (const other of scene.parentElement.children) other.tabIndex = -1;
  scene.tabIndex = 0;
  remembered.set(scene.parentElement.dataset.movie, scene.dataset.scene);
  scene.focus();
}

async function ask(scene) {
  const { held, pin, pinSide, images } = scene.dataset;
  const [, span] = scene.ariaLabel.split(", ");
  document.getElementById("scene-title").textContent = `${scene.parentElement.dataset.title}, scene ${Number(scene.dataset.scene) + 1}`;
  document.getElementById("scene-facts").textContent = `${span}. Pictures: ${held}.${pin ? ` Pinned to ${WHERE[pinSide]}.` : ""}`;
  document.getElementById("scene-pictures").replaceChildren(...images.split(" ").filter(Boolean).map((id) => {
    const link = Object.assign(document.createElement("a"), { href: `/pictures/${id}` });
    link.append(Object.assign(document.createElement("img"), { src: `/pictures/${id}/thumbnail?side=240`, alt: "A picture of this scene" }));
    return link;
  }));
  const unpin = document.getElementById("unpin");
  if (unpin) unpin.hidden = !pin;
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  if (dialog.returnValue) await place(scene, dialog.returnValue);
}

// One pin a scene: an earlier one goes first, as two that contradict each other fail the next version.
async function place(scene, side) {
  const { scene: number, pin, pinSide } = scene.dataset;
  const { movie } = scene.parentElement.dataset;
  if (pin && side === pinSide) return;
  if (pin) await call(`/v1/split-pins/${pin}`, undefined, { method: "DELETE" });
  if (side !== "none") {
    const dataset = document.getElementById("live").dataset.dataset;
    await post("/v1/split-pins", { dataset, side, movie_id: movie, scene: Number(number) });
  }
  say(side === "none" ? "The pin is gone." : `Scene ${Number(number) + 1} is pinned to ${WHERE[side]}.`);
  remembered.set(movie, number);
  await renew("live");
  draw();
  document.querySelector(`[data-movie="${movie}"] [data-scene="${number}"]`)?.focus();
}

async function build() {
  const button = document.getElementById("build");
  const live = document.getElementById("live").dataset;
  button.disabled = true;
  button.textContent = "Building …";
  try {
    const job = await post("/v1/dataset-versions", JSON.parse(live.again));
    const done = await ended(job, undefined, () => { button.textContent = "Waiting for a free worker …"; });
    location.assign(`/datasets/${encodeURIComponent(live.dataset)}/versions/${done.result.dataset_version_id}`);
  } catch (error) {
    button.disabled = false;
    button.textContent = "Build a version with them";
    throw error;
  }
}

document.addEventListener("click", (event) => {
  const scene = event.target.closest(".scene");
  if (scene) { focusOn(scene); ask(scene).catch(complain); }
});
document.addEventListener("keydown", (event) => {
  if (dialog.open) {
    const button = [...dialog.querySelectorAll("button[value]")].find((one) => !one.hidden && one.querySelector("kbd")?.textContent === event.key);
    if (button && !event.ctrlKey && !event.metaKey) button.click();
    return;
  }
  const scene = event.target.closest?.(".scene");
  const next = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
  const end = { Home: "firstElementChild", End: "lastElementChild" }[event.key];
  const to = scene && (next ? scene[next] : end ? scene.parentElement[end] : null);
  if (to) { event.preventDefault(); focusOn(to); }
});
draw();

// Splits and leaks: scenes as wide as they last, a pin for one or for a range by click or key, a new version with the
// pins. Ranges are in splits_range.js,
// dragging is in splits_drag.js; nothing can be done by dragging alone.
"use strict";
const dialog = document.getElementById("scene");
const WHERE = { train: "training", valid: "validation", excluded: "neither side" };
const LEAST_PIXELS = 1.2; // a second of film
const remembered = new Map(); // film -> the scene that Tab comes back to
const SIDE_OF_KEY = document.getElementById("unpin") ? { t: "train", v: "valid", e: "excluded", n: "none" } : {}; // who may only read pins nothing

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

async function ask(scenes) {
  const [{ dataset: { held, pin, pinSide } }] = scenes;
  const images = scenes.flatMap((scene) => scene.dataset.images.split(" ").filter(Boolean).slice(0, scenes.length > 1 ? 1 : 3));
  const facts = scenes.length > 1 ? `${scenes.length} scenes.` : `Pictures: ${held}.${pin ? ` Pinned to ${WHERE[pinSide]}.` : ""}`;
  document.getElementById("scene-title").textContent = `${scenes[0].parentElement.dataset.title}, ${named(scenes).toLowerCase()}`;
  document.getElementById("scene-facts").textContent = `${span(scenes)}. ${facts}`;
  document.getElementById("scene-pictures").replaceChildren(...images.slice(0, 3).map((id) => {
    const link = Object.assign(document.createElement("a"), { href: `/pictures/${id}` });
    link.append(Object.assign(document.createElement("img"), { src: `/pictures/${id}/thumbnail?side=240`, alt: "A picture of this scene" }));
    return link;
  }));
  const unpin = document.getElementById("unpin");
  if (unpin) unpin.hidden = !scenes.some((scene) => scene.dataset.pin);
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  if (dialog.returnValue) await place(scenes, dialog.returnValue);
}

// One pin a scene: an earlier one goes first, as two that contradict each other fail the next version.
async function place(scenes, side) {
  const strip = scenes[0].parentElement;
  const { movie } = strip.dataset;
  const { scene: number } = strip.querySelector("[tabindex='0']").dataset;
  const { dataset } = document.getElementById("live").dataset;
  const moved = scenes.filter(({ dataset: { pin, pinSide } }) => (pin ? pinSide !== side : side !== "none"));
  if (!moved.length) return;
  try {
    for (const scene of moved) {
      if (scene.dataset.pin) await call(`/v1/split-pins/${scene.dataset.pin}`, undefined, { method: "DELETE" });
      if (side !== "none") await post("/v1/split-pins", { dataset, side, movie_id: movie, scene: Number(scene.dataset.scene) });
    }
  } finally {
    remembered.set(movie, number);
    await renew("live");
    draw();
    document.querySelector(`[data-movie="${movie}"] [data-scene="${number}"]`)?.focus();
  }
  const many = scenes.length > 1;
  say(side === "none" ? `The ${many ? "pins are" : "pin is"} gone.` : `${named(scenes)} ${many ? "are" : "is"} pinned to ${WHERE[side]}.`);
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
  if (!scene) return;
  if (event.shiftKey) return extendTo(scene);
  if (event.detail) only(scene); // a press of Enter has no count of clicks; it means all that are chosen
  ask(meant(scene)).catch(complain);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (dialog.open) {
    [...dialog.querySelectorAll("button[value]")].find((one) => !one.hidden && one.querySelector("kbd")?.textContent === event.key)?.click();
    return;
  }
  const scene = event.target.closest?.(".scene");
  if (!scene) return;
  if (event.key === "Escape") return choose();
  if (event.key in SIDE_OF_KEY) return place(meant(scene), SIDE_OF_KEY[event.key]).catch(complain);
  const next = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
  const end = { Home: "firstElementChild", End: "lastElementChild" }[event.key];
  const to = next ? scene[next] : end ? scene.parentElement[end] : null;
  if (to) { event.preventDefault(); (event.shiftKey ? extendTo : only)(to); }
});
draw();

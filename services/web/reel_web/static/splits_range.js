// Splits and leaks: which scenes an action means, and what they are called. A range is chosen with Shift, by click or by
// the arrow keys. Used by splits.js and splits_drag.js.
"use strict";
let anchor = null; // where a range begins

// Choose the scenes between one and another of the same film; nothing without them.
function choose(from, to) {
  for (const scene of document.querySelectorAll(".scene.chosen")) {
    scene.classList.remove("chosen");
    scene.removeAttribute("aria-pressed");
  }
  if (!to) return;
  const all = [...to.parentElement.children];
  const [first, last] = [all.indexOf(from), all.indexOf(to)].sort((one, other) => one - other);
  const range = all.slice(first, last + 1);
  for (const scene of range) {
    scene.classList.add("chosen");
    scene.ariaPressed = "true";
  }
  say(`${named(range)} ${range.length === 1 ? "is" : "are"} chosen.`);
}

function extendTo(scene) {
  const strip = scene.parentElement;
  if (anchor?.parentElement !== strip) anchor = [...strip.children].find((one) => one.tabIndex === 0);
  choose(anchor, scene);
  focusOn(scene);
}

function only(scene) {
  choose();
  anchor = scene;
  focusOn(scene);
}

// What an action on a scene is about: all that are chosen, or else it alone.
function meant(scene) {
  const chosen = [...scene.parentElement.querySelectorAll(".chosen")];
  return chosen.includes(scene) ? chosen : [scene];
}

function named(scenes) {
  const [first, last] = [scenes[0], scenes.at(-1)].map((scene) => Number(scene.dataset.scene) + 1);
  return first === last ? `Scene ${first}` : `Scenes ${first} to ${last}`;
}

const span = (scenes) => {
  const [from, to] = [scenes[0], scenes.at(-1)].map((scene) => scene.ariaLabel.split(", ")[1].split(" to "));
  return `${from[0]} to ${to[1]}`;
};

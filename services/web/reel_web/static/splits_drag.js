// Splits and leaks: a scene, or all that are chosen, dragged onto a side, by mouse, pen or finger. Needs splits.js, in
// which the same goes by click and by keys. A finger drags sideways first; up and down it scrolls the page.
"use strict";
const zones = document.getElementById("sides"); // not there for who may only read
const FROM_PIXELS = 6;
const GAP_PIXELS = 10;
let drag = null;

function begin(event) {
  drag.moving = true;
  drag.scene.setPointerCapture(event.pointerId);
  if (!drag.scene.classList.contains("chosen")) only(drag.scene);
  for (const scene of drag.scenes) scene.classList.add("dragged");
  document.getElementById("dragged").textContent = `${named(drag.scenes)}, ${span(drag.scenes)}`;
  zones.querySelector("[data-side=none]").hidden = !drag.scenes.some((scene) => scene.dataset.pin);
  zones.hidden = false;
  const { top, bottom } = drag.scene.getBoundingClientRect();
  const { width, height } = zones.getBoundingClientRect();
  const fits = bottom + GAP_PIXELS + height < innerHeight;
  zones.style.top = `${fits ? bottom + GAP_PIXELS : top - GAP_PIXELS - height}px`;
  zones.style.left = `${Math.max(GAP_PIXELS, Math.min(event.clientX - width / 2, document.documentElement.clientWidth - width - GAP_PIXELS))}px`;
}

function over(event) {
  return document.elementFromPoint(event.clientX, event.clientY)?.closest("#sides [data-side]") ?? null;
}

function mark(zone) {
  for (const one of zones.querySelectorAll("[data-side]")) one.classList.toggle("over", one === zone);
}

function end() {
  for (const scene of drag.scenes) scene.classList.remove("dragged");
  mark(null);
  zones.hidden = true;
  drag = null;
}

// The click that a browser makes of the end of a drag means nothing.
function swallow(event) {
  event.stopPropagation();
  event.preventDefault();
}

if (zones) {
  document.addEventListener("pointerdown", (event) => {
    const scene = event.target.closest(".scene");
    if (scene && event.isPrimary && event.button === 0 && !event.shiftKey) {
      drag = { scene, scenes: meant(scene), x: event.clientX, y: event.clientY, moving: false };
    }
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    if (!drag.moving && Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > FROM_PIXELS) begin(event);
    if (drag.moving) mark(over(event));
  });
  document.addEventListener("pointerup", (event) => {
    if (!drag || !event.isPrimary) return;
    const { scenes, moving } = drag;
    const side = moving && over(event)?.dataset.side;
    end();
    if (!moving) return;
    document.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", swallow, { capture: true }));
    if (side) place(scenes, side).catch(complain);
  });
  document.addEventListener("pointercancel", () => { if (drag) end(); });
  document.addEventListener("keydown", (event) => { if (drag && event.key === "Escape") end(); });
}

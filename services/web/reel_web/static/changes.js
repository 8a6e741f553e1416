// Forms that change something by a call to the API: what is asked stands in the form's data-… attributes, its fields
// are added to the body. Needs calls.js. A refusal is shown in #refusal, or in the form's own .refusal.
"use strict";

function bodyOf(form) {
  const body = JSON.parse(form.dataset.body || "{}");
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type === "checkbox" && !field.checked && !field.dataset.list)) continue;
    if (field.dataset.list) {
      body[field.name] ??= [];
      if (field.checked) body[field.name].push(field.value);
    } else if (field.type === "checkbox") body[field.name] = true;
    else if (field.value !== "") body[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return body;
}

function tell(form, error) {
  const place = form.querySelector(".refusal") || document.getElementById("refusal");
  const failed = (error.gates || []).map((gate) => Object.assign(document.createElement("li"), { textContent: gate.says }));
  place.replaceChildren(Object.assign(document.createElement("strong"), { textContent: error.title || "That did not work" }), error.message);
  if (failed.length) place.append(Object.assign(document.createElement("ul"), {}));
  place.querySelector("ul")?.append(...failed);
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.change");
  if (!form) return;
  event.preventDefault();
  const { method, path, then, sure } = form.dataset;
  if (sure && !confirm(sure)) return;
  const button = event.submitter;
  if (button) button.disabled = true;
  try {
    const json = method === "DELETE" ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(bodyOf(form)) };
    const answer = await call(path, undefined, { method, ...json });
    const event = new CustomEvent("changed", { bubbles: true, cancelable: true, detail: answer });
    if (!form.dispatchEvent(event)) return;
    if (then === "reload") location.reload();
    else location.assign(then.replace("{id}", answer.id));
  } catch (error) {
    tell(form, error);
  } finally {
    if (button) button.disabled = false;
  }
});

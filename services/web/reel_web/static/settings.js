// The settings pages: shows a new secret once, writes a key's last day as a moment, and times as local ones.
"use strict";
const making = document.getElementById("new-key");

making?.querySelector("[data-moment]")?.addEventListener("change", (event) => {
  const body = JSON.parse(making.dataset.body || "{}");
  const day = event.target.value;
  if (day) body[event.target.dataset.moment] = new Date(`${day}T23:59:59`).toISOString();
  else delete body[event.target.dataset.moment];
  making.dataset.body = JSON.stringify(body);
});

// After the form has made something, the box beside it shows that field of the answer.
function showOnce(form, box, field) {
  form?.addEventListener("changed", (event) => {
    event.preventDefault();
    form.hidden = true;
    box.hidden = false;
    const shown = box.querySelector("input");
    shown.value = event.detail[field];
    shown.focus();
    shown.select();
  });
  box?.querySelector("button").addEventListener("click", async (event) => {
    const shown = box.querySelector("input");
    shown.select();
    await navigator.clipboard?.writeText(shown.value);
    event.target.textContent = "Copied";
  });
}

showOnce(making, document.getElementById("token"), "token");
showOnce(document.getElementById("new-webhook") ?? document.getElementById("roll-secret"), document.getElementById("secret"), "secret");

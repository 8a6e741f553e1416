// The settings page: shows a new key once, writes its last day as a moment, and times as local ones.
"use strict";
const making = document.getElementById("new-key");
const token = document.getElementById("token");

making?.querySelector("[data-moment]").addEventListener("change", (event) => {
  const body = JSON.parse(making.dataset.body || "{}");
  const day = event.target.value;
  if (day) body[event.target.dataset.moment] = new Date(`${day}T23:59:59`).toISOString();
  else delete body[event.target.dataset.moment];
  making.dataset.body = JSON.stringify(body);
});

making?.addEventListener("changed", (event) => {
  event.preventDefault();
  making.hidden = true;
  token.hidden = false;
  const field = token.querySelector("input");
  field.value = event.detail.token;
  field.focus();
  field.select();
});

token?.querySelector("button").addEventListener("click", async (event) => {
  token.querySelector("input").select();
  await navigator.clipboard?.writeText(token.querySelector("input").value);
  event.target.textContent = "Copied";
});

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = time.textContent;
  time.textContent = clock.format(new Date(time.dateTime));
}

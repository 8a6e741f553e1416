// Keeps the jobs pages fresh: fetches the page again while it shows live jobs. Needs times.js.
"use strict";
const EVERY_MS = 2500;
const live = () => document.getElementById("live");

async function refresh() {
  const busy = document.hidden || live().contains(document.activeElement) || live().querySelector(":checked") || String(getSelection());
  if (!busy) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) return location.reload();
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      if (answer.ok && fresh) {
        localTimes(fresh);
        if (fresh.innerHTML !== live().innerHTML) live().replaceWith(document.adoptNode(fresh));
      }
    } catch { /* the server is away: what is shown stays, and the next turn asks again */ }
  }
  if (live().dataset.live === "yes") setTimeout(refresh, EVERY_MS);
}

if (live().dataset.live === "yes") setTimeout(refresh, EVERY_MS);

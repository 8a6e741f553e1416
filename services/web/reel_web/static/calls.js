// Calls to the API. Every refusal becomes an Error whose message is a sentence for people.
"use strict";
let credentials = "same-origin"; // "omit": as a visitor, whoever is signed in
const TERMINAL = ["succeeded", "failed", "canceled"];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function call(path, signal, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { signal, credentials, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Check that it is running, then try again.");
  }
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const words = body.detail || `The server answered ${answer.status}. Try again in a moment.`;
  throw Object.assign(new Error(words), { title: body.title, gates: body.gates, status: answer.status });
}

function post(path, body, signal) {
  const file = body instanceof Blob;
  const headers = { "Content-Type": file ? body.type : "application/json" };
  return call(path, signal, { method: "POST", headers, body: file ? body : JSON.stringify(body) });
}

// Follow a job to its end by its events; `waiting` is called while no worker has taken it. Where no events come
// through, as behind some proxies, it is asked for again and again.
async function ended(job, signal, waiting) {
  if (!TERMINAL.includes(job.state)) job = await told(job, signal, waiting);
  for (let wait = 100; !TERMINAL.includes(job.state); wait = Math.min(2 * wait, 2000)) {
    if (job.state === "queued" && wait > 500) waiting();
    await pause(wait);
    job = await call(`/v1/jobs/${job.id}`, signal, { headers: { Prefer: "wait=5" } });
  }
  if (job.state === "succeeded") return job;
  throw Object.assign(new Error(job.error?.detail || "The job was stopped."), { title: job.error?.title });
}

// Resolves to the job as its last event has it: ended, or as it was when the events broke off.
function told(job, signal, waiting) {
  return new Promise((done, stopped) => {
    const events = new EventSource(`/v1/jobs/${job.id}/events`);
    const late = setTimeout(waiting, 1500);
    const leave = (how, what) => { clearTimeout(late); events.close(); how(what); };
    events.addEventListener("state", (event) => { if (JSON.parse(event.data).state !== "queued") clearTimeout(late); });
    events.addEventListener("end", (event) => leave(done, JSON.parse(event.data)));
    events.addEventListener("error", () => leave(done, job));
    signal?.addEventListener("abort", () => leave(stopped, new DOMException("", "AbortError")));
  });
}

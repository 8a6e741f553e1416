// Shared by the data set pages: changes of pictures with a way back, a message for each. The calls themselves are in
// calls.js; needs times.js.
"use strict";
const UNDO_KEY = "reel-undo";
const toast = document.getElementById("toast");
const said = document.getElementById("said");
const counted = (n, one, many = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : many}`;
let hiding = null;

// What can be taken back, the last one at the end: it outlives the page, as people go on to the next one.
const undoable = {
  read: () => JSON.parse(sessionStorage.getItem(UNDO_KEY) || "[]"),
  write: (list) => sessionStorage.setItem(UNDO_KEY, JSON.stringify(list.slice(-50))),
  push(batch) { this.write([...this.read(), batch]); },
  pop() { const list = this.read(); const last = list.pop(); this.write(list); return last; },
};

function say(text, undo = false, bad = false) {
  said.textContent = text;
  document.getElementById("undo").hidden = !undo;
  toast.classList.toggle("bad", bad);
  toast.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { toast.hidden = true; }, bad ? 12000 : 8000);
}

const complain = (error) => say(error.message, false, true);

async function change(body, words) {
  const batch = await post("/v1/image-changes", body);
  if (batch.changed) undoable.push(batch.batch_id);
  const same = batch.unchanged ? `, ${batch.unchanged.toLocaleString()} were so already` : "";
  say(`${counted(batch.changed, "picture")} ${words}${same}.`, batch.changed > 0);
  return batch;
}

async function takeBack() {
  const batch = undoable.pop();
  if (!batch) return say("There is nothing to take back.");
  const back = await post(`/v1/image-changes/${batch}/undo`, {});
  const left = back.skipped ? `; ${back.skipped} were changed again since and stay` : "";
  say(`Taken back: ${counted(back.changed, "picture")}${left}.`);
}

// Ask for a class; resolves to {label, force} or null.
function askLabel() {
  const dialog = document.getElementById("relabel");
  const form = dialog.querySelector("form");
  form.reset();
  dialog.showModal();
  return new Promise((answer) => dialog.addEventListener("close", () => {
    answer(dialog.returnValue === "ok" ? { label: form.elements.label.value, force: form.elements.force.checked } : null);
    dialog.returnValue = "";
  }, { once: true }));
}

// A key means an action unless somebody writes, holds a modifier, or a dialog is open.
function actionKey(event) {
  const writing = event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog");
  return writing || event.ctrlKey || event.metaKey || event.altKey ? null : event.key;
}

// Put parts of the page as it is now in the place of those shown.
async function renew(...ids) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const [old, made] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && made) { localTimes(made); old.replaceWith(document.adoptNode(made)); }
  }
}

// The form that starts a training: which recipes there are, asked of the trainer when the form is opened.
"use strict";
const start = document.getElementById("start");

async function recipes() {
  const { data } = await call("/v1/recipes");
  const choice = document.getElementById("recipe");
  const kept = choice.value;
  choice.replaceChildren(...data.map((one) => {
    const epochs = `${one.total_epochs} ${one.total_epochs === 1 ? "epoch" : "epochs"}`;
    return Object.assign(document.createElement("option"), { value: one.name, textContent: `${one.name}: ${one.architecture}, ${epochs}` });
  }));
  choice.value = kept;
}

const load = () => recipes().catch((error) => tell(start.querySelector("form"), error));
if (start.open) load();
else start.addEventListener("toggle", load, { once: true });

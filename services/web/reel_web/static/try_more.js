// Around the demo's answer: pictures dropped and pasted, examples by one click, a link to share, and whether it was right. Needs try.js.
"use strict";
const said = $("said");
const share = $("share");

for (const button of document.querySelectorAll(".examples button")) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(`/examples/${button.value}`);
      if (!answer.ok) throw new Error("The example is gone; load the page again.");
      start(await answer.blob());
    } catch (error) {
      refuse(error);
    }
  });
}

document.addEventListener("answered", () => {
  said.hidden = true;
  said.querySelector("[role=status]").textContent = "";
  $("wrong-as").hidden = true;
  share.hidden = true;
});

document.addEventListener("explained", ({ detail: { mine, key } }) => {
  if (run !== mine) return;
  mine.key = key;
  said.hidden = false;
  linked();
});
document.addEventListener("viewed", linked);

function linked() {
  const link = view.link();
  share.hidden = !link;
  if (link) share.href = link;
}

async function feedback(right, label = "") {
  const { key, answer } = run;
  try {
    await post("/v1/feedback", { key, model: answer.model, predicted: answer.predictions[0].label, right, label });
    said.querySelector("[role=status]").textContent = right ? "Thank you, that helps." : "Thank you. The picture is kept until somebody has looked at it.";
    $("wrong-as").hidden = right;
  } catch (error) {
    refuse(error);
  }
}

$("right").addEventListener("click", () => feedback(true));
$("wrong").addEventListener("click", () => feedback(false));
$("wrong-as").addEventListener("change", (event) => { if (event.target.value) feedback(false, event.target.value); });

share.addEventListener("click", async (event) => {
  if (!navigator.clipboard || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  await navigator.clipboard.writeText(share.href);
  share.textContent = "Link copied";
  setTimeout(() => { share.textContent = "Copy the link"; }, 2000);
});

// A picture may be dropped anywhere on the page.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", type === "dragover");
    if (type === "drop") start(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) start(event.clipboardData.files[0]);
});

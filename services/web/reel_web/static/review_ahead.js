// Review's next sheet: where it is, and its pictures fetched before it is opened, so that they stand there at once.
"use strict";

// What is decided on this sheet is gone from the list; what is open is left out.
function nextSheet(list, left) {
  const there = new URL(location.href);
  there.searchParams.set("dataset", list.dataset.dataset); // the address may not have named one
  there.searchParams.set("skip", Number(list.dataset.skip) + left);
  if (!left && !Number(list.dataset.skip)) there.searchParams.delete("skip");
  return there;
}

async function fetchPictures(sheet) {
  const answer = await fetch(sheet);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const picture of page.querySelectorAll("#cases img")) new Image().src = picture.getAttribute("src");
}

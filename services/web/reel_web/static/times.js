// Writes times as local ones, with UTC where the mouse rests. On every page but the demo's.
"use strict";
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = clock.format(new Date(time.dateTime));
  }
}

localTimes(document);

// What of the demo lives in its address: the label shown, the one beside it, the kind of map. Such an address opens the
// same view of the next picture; the link of an answer opens it with the picture. Needs nothing; used by try.js.
"use strict";
const view = {
  fresh: new URLSearchParams(location.search), // of the address that was opened: good for the first picture
  methods: () => [...document.querySelectorAll("[name=method]")],
  method() { return this.methods().find((each) => each.checked).value; },

  // The label that the address wishes, once, if the model knows it; else nothing.
  wished(name) {
    const label = this.fresh.get(name) || "";
    this.fresh.delete(name);
    return [...document.getElementById("as").options].some((each) => each.value === label) ? label : "";
  },

  // Write what is chosen into the address, without a new entry in the history.
  keep() {
    const chosen = { as: run.label, versus: run.versus, method: this.method() === "gradcam" ? "" : this.method() };
    const said = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    history.replaceState(null, "", `${location.pathname}${said.size ? `?${said}` : ""}`);
    document.dispatchEvent(new CustomEvent("viewed"));
  },

  // The address of an answer that opens this view: the job of one label, that of the other beside it, the kind of map.
  link() {
    const [shown, other] = [run.label, run.versus].map((label) => run.shown[label]?.job);
    const said = new URLSearchParams({ ...(other && { beside: other }), method: this.method() });
    return shown ? `/answers/${shown}?${said}` : "";
  },
};
const wanted = view.methods().find((each) => each.value === view.fresh.get("method"));
if (wanted) wanted.checked = true;

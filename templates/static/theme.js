// Light, dark, or as the system says. Loaded in the head without defer, so that a page never flashes in the other colours.
"use strict";
(() => {
  const NAME = "theme";
  const root = document.documentElement;

  function kept() {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null; // storage is forbidden: the choice lasts as long as the page
    }
  }

  function wear(theme) {
    const before = root.dataset.theme;
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    if (root.dataset.theme !== before) dispatchEvent(new Event("charts")); // charts.js draws them in the colours of the page
  }

  function choose(theme) {
    wear(theme);
    try {
      if (theme === "system") localStorage.removeItem(NAME);
      else localStorage.setItem(NAME, theme);
    } catch {
      // as above
    }
  }

  wear(kept());
  addEventListener("storage", (event) => event.key === NAME && show(event.newValue));

  function show(theme) {
    wear(theme);
    const select = document.querySelector(".theme select");
    if (select) select.value = root.dataset.theme ?? "system";
  }

  addEventListener("DOMContentLoaded", () => {
    const label = document.querySelector(".theme");
    label.hidden = false; // without scripts it would do nothing
    show(kept());
    label.querySelector("select").addEventListener("change", (event) => choose(event.target.value));
  });
})();

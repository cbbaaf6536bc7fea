// Filters the claims in place; from a file, where no server does, by the query of the address as well.
"use strict";
(() => {
  const form = document.querySelector("form.filters");
  const rows = [...document.querySelectorAll("table.claims tbody")];
  const isFile = location.protocol === "file:";

  function filter() {
    const asked = Object.fromEntries(new FormData(form));
    let shown = 0;
    for (const row of rows) {
      row.hidden = Object.entries(asked).some(([name, value]) => value && row.dataset[name] !== value);
      if (!row.hidden) shown += 1;
    }
    document.querySelector("#shown").textContent = `${shown} of ${rows.length} claims`;
  }

  if (isFile) {
    const query = new URLSearchParams(location.search);
    for (const select of form.elements) if (query.get(select.name)) select.value = query.get(select.name);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", filter);
    filter();
  } else {
    form.addEventListener("change", () => form.requestSubmit());
  }
})();

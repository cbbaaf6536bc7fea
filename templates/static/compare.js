// The comparison's form submits when something is chosen, and its tables sort. Without scripts both work by the server alone.
"use strict";
(() => {
  const form = document.querySelector("form.view");
  if (form) {
    const submit = () => {
      // What is not chosen stays out of the address.
      for (const field of form.elements) if (field.name && field.tagName === "SELECT" && !field.value) field.disabled = true;
      form.submit();
    };
    form.addEventListener("change", (event) => {
      if (event.target.tagName !== "SELECT") return;
      const { baseline, show, color } = form.elements;
      const none = () => baseline.value === "none";
      if (event.target === color && !none()) baseline.value = ""; // which is one of the colours
      if (event.target === show && show.value === "ratio" && none()) baseline.value = [...baseline.options].find((each) => each.value !== "none")?.value ?? "none";
      if (none()) show.value = "value";
      submit();
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
    for (const pick of form.querySelectorAll(".pick")) {
      pick.addEventListener("change", () => { pick.dataset.changed = "yes"; });
      pick.addEventListener("toggle", () => { if (!pick.open && pick.dataset.changed) submit(); });
      pick.addEventListener("keydown", (event) => { if (event.key === "Escape") { pick.open = false; pick.querySelector("summary").focus(); } });
    }
    document.addEventListener("click", (event) => {
      for (const pick of form.querySelectorAll(".pick[open]")) if (!pick.contains(event.target)) pick.open = false;
    });
  }

  function key(cell) {
    const text = cell.dataset.key ?? cell.textContent.trim();
    const number = Number(text);
    return text !== "" && Number.isFinite(number) ? number : text;
  }

  function order(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const rows = [...body.rows].sort((one, two) => {
          const [a, b] = [key(one.cells[column]), key(two.cells[column])];
          if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last, whichever way
          return (rising ? 1 : -1) * order(a, b);
        });
        body.append(...rows);
      });
    }
  }
})();

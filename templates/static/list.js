// The list of sweeps: filters keep the address short, and ticks and open groups outlive a reload and a change of page. Without scripts both forms work too.
"use strict";
(() => {
  const filters = document.querySelector("form.filters");
  const submit = () => {
    for (const field of filters.elements) if (field.name && !field.value) field.disabled = true;
    filters.submit();
  };
  filters?.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  filters?.addEventListener("change", (event) => { if (event.target.tagName === "SELECT") submit(); });

  const form = document.querySelector("form.picks");
  if (!form) return;
  const opened = new Set(JSON.parse(sessionStorage.getItem("opened") ?? "[]"));
  for (const group of form.querySelectorAll("details[data-place]")) {
    group.open = opened.has(group.dataset.place);
    group.addEventListener("toggle", () => {
      if (group.open) opened.add(group.dataset.place); else opened.delete(group.dataset.place);
      sessionStorage.setItem("opened", JSON.stringify([...opened]));
    });
  }
  const kept = new Set(JSON.parse(sessionStorage.getItem("picks") ?? "[]"));
  const boxes = [...form.querySelectorAll("input[name=in]")];
  const said = form.querySelector(".picked");
  const button = form.querySelector("button");

  function tell() {
    sessionStorage.setItem("picks", JSON.stringify([...kept]));
    said.textContent = kept.size ? `${kept.size} ${kept.size === 1 ? "row is" : "rows are"} ticked` : "Tick sweeps or groups to see them next to each other";
    button.disabled = !kept.size;
    forget.hidden = !kept.size;
  }

  const forget = document.createElement("button");
  forget.type = "button";
  forget.className = "quiet";
  forget.textContent = "Untick all";
  forget.addEventListener("click", () => {
    kept.clear();
    for (const box of boxes) box.checked = false;
    tell();
  });
  said.after(" ", forget);

  for (const box of boxes) {
    box.checked = kept.has(box.value);
    box.addEventListener("change", () => {
      if (box.checked) kept.add(box.value); else kept.delete(box.value);
      tell();
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(`/compare?in=${[...kept].map(encodeURIComponent).join(",")}`);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) for (const box of boxes) box.checked = kept.has(box.value); });
  tell();
})();

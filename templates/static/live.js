// Keeps a page up to date while something is measured. A sweep's page hears events: figures change in their places, and
// when a run has ended the page is fetched again and taken over piece by piece, so that nothing flickers, moves or loses
// the focus. A list is fetched now and then, and what is marked `data-fresh` changes in its place; any other page that tells of
// something under way is loaded again. Without scripts a page loads itself again every ten seconds.
"use strict";
(() => {
  const PERIOD_MS = 5000;
  const script = document.currentScript;
  const main = document.querySelector("main");
  let adopting = null;

  const titleOf = (figure) => figure.querySelector("strong")?.textContent;
  const all = (root, selector) => [...root.querySelectorAll(selector)];

  // What the reader has done to the page, and what is drawn already, goes over into the new one.
  function carryOver(from, to) {
    const live = [from.querySelector("[data-live]"), to.querySelector("[data-live]")];
    if (live[0] && live[1]) live[1].replaceWith(live[0]); // announcements come from an element that stays
    const drawn = new Map(all(from, "figure.chart").map((figure) => [titleOf(figure), figure]));
    for (const figure of all(to, "figure.chart")) {
      const old = drawn.get(titleOf(figure));
      const plots = [old?.querySelector(".plot"), figure.querySelector(".plot")];
      if (plots[0] && plots[1]) {
        plots[0].style.minHeight = `${plots[0].offsetHeight}px`;
        plots[1].replaceWith(plots[0]);
        figure.drawn = old.drawn;
      }
    }
    const open = all(from, "details");
    all(to, "details").forEach((details, at) => {
      const old = open.find((each) => placeOf(each) === placeOf(details)) ?? null;
      if (old) details.open = old.open;
    });
  }

  const placeOf = (details) =>
    `${details.closest("figure") ? titleOf(details.closest("figure")) : ""}/${details.dataset.place ?? details.querySelector("summary")?.textContent}`;

  const focusable = (root) => all(root, "a[href], button, input, select, textarea, summary");

  async function fetched() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  const goesOn = (page) => page.querySelector('script[src^="/static/live.js"]') !== null;

  async function adopt() {
    const page = await fetched();
    const next = page.querySelector("main");
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const at = focused ? focusable(main).indexOf(focused) : -1;
    const place = focused?.matches("summary") ? placeOf(focused.parentElement) : null;
    carryOver(main, next);
    main.replaceChildren(...next.childNodes);
    document.title = page.title;
    const again = focused?.isConnected ? focused : focused?.matches("summary")
      ? all(main, "summary").find((each) => placeOf(each.parentElement) === place)
      : focused?.href
      ? focusable(main).find((each) => each.href === focused.href)
      : focusable(main)[at];
    again?.focus({ preventScroll: true });
    dispatchEvent(new Event("charts"));
    return goesOn(page);
  }

  // One at a time; whoever asks meanwhile gets the one that follows.
  function takeOver() {
    adopting = (adopting ?? Promise.resolve(true)).catch(() => true).then(adopt);
    return adopting;
  }

  function soon(look) {
    setTimeout(async () => {
      if (document.visibilityState === "hidden") soon(look);
      else await look().catch(() => true) && soon(look);
    }, PERIOD_MS);
  }

  // The same things are listed: only their state is new. Otherwise the page is loaded again.
  async function refreshList() {
    const old = all(main, "[data-fresh]");
    const page = old.length ? await fetched() : null;
    const now = page ? all(page, "[data-fresh]") : [];
    const keys = (elements) => elements.map((each) => each.dataset.fresh).join();
    if (!old.length || keys(old) !== keys(now)) {
      if (document.activeElement?.matches("input:not([type=checkbox]), select")) return true; // somebody is writing
      location.reload();
      return false;
    }
    old.forEach((each, at) => each.innerHTML === now[at].innerHTML || each.replaceChildren(...now[at].childNodes));
    return goesOn(page);
  }

  function show(fields) {
    for (const element of all(document, "[data-live-text]")) {
      const text = fields[element.dataset.liveText];
      if (text !== undefined && element.textContent !== text) element.textContent = text;
    }
    for (const element of all(document, "[data-live-value]")) element.value = fields[element.dataset.liveValue] ?? 0;
    for (const element of all(document, "[data-live-path]")) element.setAttribute("d", fields[element.dataset.livePath] ?? "");
  }

  function listen(url) {
    const source = new EventSource(url);
    let stored = null;
    source.addEventListener("live", (event) => {
      const told = JSON.parse(event.data);
      if (told.shown) show(told.shown);
      if (stored !== null && told.runs_stored !== stored) takeOver().catch(() => {});
      stored = told.runs_stored;
    });
    for (const last of ["end", "trouble"]) {
      source.addEventListener(last, () => {
        source.close();
        takeOver().then((more) => more && soon(takeOver), () => soon(takeOver));
      });
    }
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) soon(takeOver); // refused: too many watch, or the dashboard is gone
    });
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => event.persisted && listen(url));
  }

  if (script.dataset.events) listen(script.dataset.events);
  else soon(refreshList);
})();

// Draws each figure's Vega-Lite specification, in the colours of the page. Nothing is fetched: the data is in the page.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function config() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const font = style.getPropertyValue("--sans").trim();
    const text = { labelColor: color("--soft"), titleColor: color("--soft"), labelFont: font, titleFont: font };
    return {
      background: "transparent",
      font,
      title: { color: color("--ink"), font, fontSize: 12, anchor: "start", offset: 12 },
      view: { stroke: null },
      axis: {
        ...text, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", titlePadding: 8, labelPadding: 5,
        domainColor: color("--line"), tickColor: color("--line"), gridColor: color("--line"), gridOpacity: 0.6, tickSize: 4,
      },
      axisY: { domain: false, ticks: false },
      legend: { ...text, orient: "top", labelFontSize: 11, symbolSize: 70, offset: 8, columnPadding: 14,
        layout: { top: { anchor: "start", direction: "vertical", margin: 4 } }, // two legends, one over the other
        symbolBaseFillColor: color("--ink"), symbolBaseStrokeColor: color("--ink"), labelColor: color("--ink") },
      rule: { color: color("--ink") },
      text: { color: color("--ink"), font },
    };
  }

  // Where one legend stands for all charts of a page, each leaves its own out. A saved drawing has it.
  const legendIsElsewhere = (figure) => Boolean(figure.closest("[data-legend]"));

  // Where the page says above a chart what it shows, the drawing does not say it again. A saved one does.
  const titleIsElsewhere = (figure) => Boolean(figure.closest("[data-title]"));

  const FLATTER = 0.7; // on paper, where a chart is narrower than on a screen

  function specification(figure, { hasLegend, hasTitle }) {
    const keep = (key, value) => (key === "legend" && !hasLegend ? null : value);
    const spec = JSON.parse(figure.querySelector("script").textContent, keep);
    if (!hasTitle) delete spec.title;
    if (document.documentElement.classList.contains("paper") && typeof spec.height === "number") spec.height *= FLATTER;
    return spec;
  }

  const options = (figure) => ({
    mode: "vega-lite",
    ast: true, // expressions are interpreted: no eval, so the page can forbid it
    renderer: "svg",
    config: config(),
    defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
    actions: { export: true, source: false, compiled: false, editor: false },
    i18n: { SVG_ACTION: "SVG", PNG_ACTION: "PNG" },
    downloadFileName: figure.querySelector("strong").textContent,
  });

  async function save(figure, fileName) {
    const spec = { ...specification(figure, { hasLegend: true, hasTitle: true }), width: figure.querySelector(".plot").clientWidth };
    const made = await vegaEmbed(document.createElement("div"), spec, { ...options(figure), actions: false });
    const link = document.createElement("a");
    link.download = fileName;
    link.href = await made.view.toImageURL(fileName.split(".").pop());
    link.click();
    made.finalize();
  }

  function saveWhole(figure) {
    for (const link of figure.querySelectorAll(".vega-actions a")) {
      const own = link.cloneNode(true); // without the listener that saves what is shown
      own.addEventListener("click", (event) => {
        event.preventDefault();
        save(figure, own.download);
      });
      link.replaceWith(own);
    }
  }

  async function draw(figure) {
    const plot = figure.querySelector(".plot");
    const hasLegend = !legendIsElsewhere(figure);
    const hasTitle = !titleIsElsewhere(figure);
    const spec = specification(figure, { hasLegend, hasTitle });
    for (const panel of spec.vconcat ?? []) panel.width = Math.max(120, plot.clientWidth - spec.usermeta.beside_px);
    try {
      const made = await vegaEmbed(plot, spec, options(figure));
      if (!hasLegend || !hasTitle) saveWhole(figure);
      figure.drawn?.finalize();
      figure.drawn = made;
    } catch (error) {
      plot.textContent = `This chart could not be drawn (${error.message}); its table holds the figures.`;
      throw error;
    }
  }

  // Panels on one axis have a width in pixels: they are drawn anew when their place has another.
  const places = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      if (target.drawnWidth !== undefined && target.drawnWidth !== contentRect.width) draw(target.closest("figure"));
      target.drawnWidth = contentRect.width;
    }
  });

  function drawAll() {
    const figures = [...document.querySelectorAll("figure.chart:has(.plot)")];
    const stacked = figures.filter((figure) => figure.querySelector("script").textContent.includes('"vconcat"'));
    for (const figure of stacked) places.observe(figure.querySelector(".plot"));
    return Promise.all(figures.map(draw));
  }

  function paper(on) {
    document.documentElement.classList.toggle("paper", on);
    drawAll(); // in the colours of paper
  }

  dark.addEventListener("change", drawAll);
  addEventListener("charts", drawAll); // told by live.js, which takes in what was measured meanwhile
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  drawAll();
})();

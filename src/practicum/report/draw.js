"use strict";
(() => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const resolved = (value) => {
    if (typeof value === "string") return value.replace(/var\((--\w+)\)/g, (_, name) => colour(name));
    if (Array.isArray(value)) return value.map(resolved);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item)]));
    return value;
  };
  const axis = () => ({
    gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true, fixedrange: true,
  });
  const draw = () => {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = resolved(JSON.parse(document.getElementById(place.dataset.figure).textContent));
      const { xaxis = {}, yaxis = {}, ...rest } = figure.layout;
      const layout = {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
        hoverlabel: { bgcolor: colour("--card"), font: { color: colour("--ink") } },
        margin: { l: 8, r: 12, t: 8, b: 8 }, showlegend: figure.data.length > 1,
        legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
        ...rest, xaxis: { ...axis(), ...xaxis }, yaxis: { ...axis(), ...yaxis },
      };
      Plotly.react(place, figure.data, layout, { displayModeBar: false, responsive: true });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();

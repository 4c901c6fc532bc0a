// Draws each figure's table as a chart. The table holds the numbers; without this script, it is all there is.
"use strict";

const charts = new Map();

function colorOf(figure, name) {
  return getComputedStyle(figure.querySelector(`.legend .${name}`)).backgroundColor;
}

function read(figure) {
  const table = figure.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const values = (index) => rows.map((row) => {
    const value = row.cells[index].dataset.value;
    return value === undefined ? null : Number(value);
  });
  const datasets = [...table.tHead.rows[0].cells].slice(1).map((head, number) => {
    const name = head.dataset.series;
    const color = colorOf(figure, name);
    const shared = { label: head.textContent.trim(), data: values(number + 1), borderColor: color, backgroundColor: color };
    return name === "share"
      ? { ...shared, type: "line", yAxisID: "share", order: 0, clip: 8, borderWidth: 2, pointRadius: 3, spanGaps: true, tension: 0.25 }
      : { ...shared, type: "bar", stack: "all", order: 1, maxBarThickness: 46, borderRadius: 2 };
  });
  return { labels: rows.map((row) => row.cells[0].textContent.trim()), datasets };
}

function options(figure) {
  const style = getComputedStyle(figure);
  const [quiet, line] = [style.color, style.borderTopColor];
  const hasShare = figure.querySelector("th[data-series=share]") !== null;
  const compact = new Intl.NumberFormat("en", { notation: "compact" });
  const percent = (value) => `${Math.round(value * 100)}%`;
  return {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    plugins: {
      legend: { display: false },
      tooltip: {
        callbacks: {
          label: ({ dataset, raw }) =>
            ` ${dataset.label}: ${dataset.yAxisID === "share" ? percent(raw) : raw.toLocaleString("en")}`,
        },
      },
    },
    scales: {
      x: { stacked: true, grid: { display: false }, border: { color: line }, ticks: { color: quiet, maxRotation: 0, autoSkipPadding: 14 } },
      y: { stacked: true, beginAtZero: true, grid: { color: line }, border: { display: false }, ticks: { color: quiet, precision: 0, maxTicksLimit: 6, callback: (value) => compact.format(value) } },
      ...(hasShare && {
        share: { position: "right", min: 0, max: 1, grid: { display: false }, border: { display: false }, ticks: { color: quiet, stepSize: 0.25, callback: percent } },
      }),
    },
  };
}

function draw(figure) {
  const known = charts.get(figure);
  if (!figure.querySelector("table tbody tr")) return;
  if (known) {
    known.data = read(figure);
    known.options = options(figure);
    known.update("none");
    return;
  }
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  charts.set(figure, new Chart(figure.querySelector("canvas"), { data: read(figure), options: options(figure) }));
  figure.classList.add("drawn");
}

function drawAll() {
  document.querySelectorAll("figure.chart").forEach(draw);
}

drawAll();
document.addEventListener("replaced", (event) => {
  const figure = event.target.closest("figure.chart");
  if (figure) draw(figure);
});
document.documentElement.addEventListener("theme", drawAll);

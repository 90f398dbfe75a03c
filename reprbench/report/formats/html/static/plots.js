// What all charts have in common: frames, markers, tips, and moving between points with the arrow keys.
const COLORS = 8;
const SHAPES = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (r) => `M${-r * 0.88},${-r * 0.88}h${r * 1.76}v${r * 1.76}h${-r * 1.76}z`,
  (r) => `M0,${-r * 1.2}L${r * 1.1},${r * 0.8}L${-r * 1.1},${r * 0.8}z`,
  (r) => `M0,${-r * 1.25}L${r * 1.25},0L0,${r * 1.25}L${-r * 1.25},0z`,
  (r) => `M0,${r * 1.2}L${r * 1.1},${-r * 0.8}L${-r * 1.1},${-r * 0.8}z`,
  (r) => cross(r, 0),
  (r) => cross(r, Math.PI / 4),
  (r) => star(r),
];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];

function cross(r, turn) {
  const [a, b] = [r * 1.2, r * 0.42];
  const corners = [[-b, -a], [b, -a], [b, -b], [a, -b], [a, b], [b, b], [b, a], [-b, a], [-b, b], [-a, b], [-a, -b], [-b, -b]];
  const turned = corners.map(([x, y]) => [x * Math.cos(turn) - y * Math.sin(turn), x * Math.sin(turn) + y * Math.cos(turn)]);
  return `M${turned.map((one) => one.map((value) => value.toFixed(2)).join()).join("L")}z`;
}

function star(r) {
  const corners = Array.from({ length: 10 }, (_, place) => {
    const [size, turn] = [place % 2 ? r * 0.55 : r * 1.35, (place * Math.PI) / 5];
    return `${(size * Math.sin(turn)).toFixed(2)},${(-size * Math.cos(turn)).toFixed(2)}`;
  });
  return `M${corners.join("L")}z`;
}

// Methods differ by color and by shape; after eight of them, the same color comes with another shape.
function colorClass(mark) {
  return `color-${mark % COLORS}`;
}

function markerPath(mark, radius = 4.5) {
  return SHAPES[(mark + Math.floor(mark / COLORS)) % SHAPES.length](radius);
}

function dash(mark) {
  return DASHES[Math.floor(mark / COLORS) % DASHES.length] || null;
}

function canvas(width, height, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label, class: "plot" });
}

function drawAxes(plot, x, y, area, xLabel, yLabel) {
  const { left, right, top, bottom } = area;
  const axes = svg("g", { class: "axes", "aria-hidden": "true" });
  for (const [value, text] of y.ticks) {
    const place = y.at(value);
    axes.append(svg("line", { class: "rule", x1: left, x2: right, y1: place, y2: place }));
    axes.append(svg("text", { x: left - 8, y: place, dy: "0.32em", "text-anchor": "end" }, text));
  }
  for (const [value, text] of x.ticks) {
    const place = x.at(value);
    axes.append(svg("line", { class: "tick", x1: place, x2: place, y1: bottom, y2: bottom + 5 }));
    axes.append(svg("text", { x: place, y: bottom + 18, "text-anchor": "middle" }, text));
  }
  axes.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  axes.append(svg("text", { class: "label", x: (left + right) / 2, y: bottom + 37, "text-anchor": "middle" }, xLabel));
  if (yLabel) axes.append(svg("text", { class: "label", x: 0, y: top - 12 }, yLabel));
  plot.append(axes);
}

function pointAt(x, y, mark, text, extra = "") {
  return svg(
    "g",
    { class: `point ${colorClass(mark)} ${extra}`, transform: `translate(${x.toFixed(2)},${y.toFixed(2)})`, role: "img", "aria-label": text, tabindex: "-1" },
    svg("circle", { class: "target", r: 11 }),
    svg("path", { d: markerPath(mark) }),
  );
}

// One tab stop per chart; the arrows, Home and End go from point to point, and a tip describes the point.
function makePointsReachable(figure, plot) {
  const points = [...plot.querySelectorAll(".point")];
  const tip = html("div", { class: "tip", "aria-hidden": "true", hidden: true });
  figure.querySelector(".stage").append(tip);
  if (points.length) points[0].setAttribute("tabindex", "0");
  const show = (point) => {
    tip.textContent = point.getAttribute("aria-label");
    tip.hidden = false;
    const [box, stage] = [point.getBoundingClientRect(), tip.parentElement.getBoundingClientRect()];
    const half = tip.offsetWidth / 2;
    const middle = box.left + box.width / 2 - stage.left;
    tip.style.left = `${Math.min(Math.max(middle, half), Math.max(half, stage.width - half))}px`;
    const above = box.top - stage.top - tip.offsetHeight - 2;
    tip.style.top = `${above < 0 ? box.bottom - stage.top + 2 : above}px`;
  };
  const hide = () => { tip.hidden = true; };
  for (const kind of ["pointerover", "focusin"]) {
    plot.addEventListener(kind, (event) => {
      const point = event.target.closest(".point");
      if (point) show(point);
    });
  }
  for (const kind of ["pointerout", "focusout"]) plot.addEventListener(kind, hide);
  plot.addEventListener("keydown", (event) => {
    const place = points.indexOf(document.activeElement);
    const next = {
      ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: points.length - 1,
    }[event.key];
    if (event.key === "Escape") hide();
    if (place < 0 || next === undefined) return;
    event.preventDefault();
    const target = points[(next + points.length) % points.length];
    for (const point of points) point.setAttribute("tabindex", point === target ? "0" : "-1");
    target.focus();
  });
}

// A chart that is drawn at its own width, and again when that changes.
function chartFigure(title, caption, draw, heading = "h4") {
  const controls = html("div", { class: "controls" });
  const stage = html("div", { class: "stage" });
  const figure = html("figure", { class: "chart" }, html(heading, {}, title), controls, stage, html("figcaption", {}, caption));
  let width = 0;
  const redraw = () => {
    width = Math.max(260, Math.round(stage.clientWidth) || 560);
    stage.replaceChildren();
    const plot = draw(width, figure);
    if (!plot) return;
    stage.prepend(plot);
    makePointsReachable(figure, plot);
  };
  new ResizeObserver(() => {
    if (stage.clientWidth && Math.abs(stage.clientWidth - width) > 4 && !matchMedia("print").matches) redraw();
  }).observe(stage);
  return { figure, controls, redraw };
}

// The charts of a table. They show the rows that the table shows at the moment.
const MOST_NAMES = 40;
const MOST_LINES = 40;

// Names of at most `longest` characters that keep what tells them apart. What all share is left out, then the names of
// parameters; at last words are cut in the middle, first those that most names have.
function shortened(names, longest) {
  const fits = (labels) => labels.every((label) => label.length <= longest);
  if (fits(names)) return names;
  const split = names.map((name) => name.match(/[^\s,;()[\]]+/g) || [name]);
  const counts = new Map();
  for (const words of split) for (const word of new Set(words)) counts.set(word, (counts.get(word) || 0) + 1);
  const apart = split.map((words) => words.filter((word) => counts.get(word) < names.length));
  const values = apart.map((words) => words.map((word) => word.replace(/^[^=]*=(?=.)/, "")));
  const label = (words) => words.join(" ") || "…";
  const distinct = (lists) => new Set(lists.map(label)).size === names.length;
  const chosen = fits(apart.map(label)) || !distinct(values) ? apart : values;
  if (!distinct(chosen)) return names.map((name) => cut(name, longest));
  return chosen.map((words, place) => label(cutWords(words, apart[place].map((word) => counts.get(word)), longest)));
}

// A text of at most `longest` characters: its beginning and its end.
function cut(text, longest) {
  const end = Math.floor(longest / 2);
  return text.length > longest ? `${text.slice(0, longest - 1 - end)}…${end ? text.slice(-end) : ""}` : text;
}

function cutWords(words, counts, longest) {
  const found = [...words];
  const order = [...found.keys()].sort((a, b) => counts[b] - counts[a] || found[b].length - found[a].length);
  for (const place of order) {
    const excess = found.join(" ").length - longest;
    if (excess > 0) found[place] = cut(found[place], Math.max(3, found[place].length - excess));
  }
  return found;
}

// The points for which no other is both cheaper and better, from the cheapest to the most expensive.
function frontOf(points, better) {
  const sign = better === "lower" ? -1 : 1;
  const sorted = [...points].sort((a, b) => a.cost - b.cost || sign * (b.row.mean - a.row.mean));
  const front = [];
  for (const point of sorted) {
    if (!front.length || sign * point.row.mean > sign * front[front.length - 1].row.mean) front.push(point);
  }
  return front;
}

// Puts names next to their points; a name that would cover another, or a point, is shown in the tip only.
function placeNames(plot, points, area) {
  const taken = points.map(({ x, y }) => [x - 6, y - 6, x + 6, y + 6]);
  const free = ([a, b, c, d]) =>
    a >= area.left - 6 && c <= area.right + 6 && b >= area.top - 8 && d <= area.bottom &&
    taken.every(([e, f, g, h]) => c < e || a > g || d < f || b > h);
  for (const { x, y, row } of points) {
    const width = row.name.length * 6.6 + 2;
    const places = [
      [x + 9, y, "start", [x + 8, y - 7, x + 8 + width, y + 7]],
      [x - 9, y, "end", [x - 8 - width, y - 7, x - 8, y + 7]],
      [x, y - 13, "middle", [x - width / 2, y - 20, x + width / 2, y - 7]],
      [x, y + 14, "middle", [x - width / 2, y + 7, x + width / 2, y + 21]],
    ];
    const place = places.find(([, , , box]) => free(box));
    if (!place) continue;
    taken.push(place[3]);
    plot.append(svg("text", { class: "name", x: place[0], y: place[1], dy: "0.32em", "text-anchor": place[2], "aria-hidden": "true" }, row.name));
  }
}

function costChart(table, shownRows) {
  const has = (row, key) => row.mean !== null && row.costs[key]?.[0] > 0;
  const able = DATA.costs.filter(({ key }) => table.rows.filter((row) => has(row, key)).length > 1);
  if (!able.length) return null;
  let { key, title, ticks } = able[0];
  const draw = (width) => {
    const rows = shownRows().filter((row) => has(row, key));
    if (!rows.length) return null;
    const height = Math.min(380, Math.max(280, width * 0.62));
    const area = { left: 44, right: width - 14, top: 26, bottom: height - 46 };
    const plot = canvas(width, height, `${table.metric} against ${title.toLowerCase()}; arrow keys go from point to point`);
    const x = makeAxis(rows.map((row) => row.costs[key][0]), area.left, area.right, { log: true });
    x.ticks = thinned(ticksOf(ticks, rows.map((row) => row.costs[key]), x.low, x.high), x.at, area.right - area.left);
    const y = makeAxis(rows.flatMap((row) => [row.mean - (row.std || 0), row.mean + (row.std || 0)]), area.bottom, area.top);
    drawAxes(plot, x, y, area, title, table.label);
    const points = rows.map((row) => ({ row, cost: row.costs[key][0], x: x.at(row.costs[key][0]), y: y.at(row.mean) }));
    if (table.better !== "neither") {
      const steps = frontOf(points, table.better).map((point, place) => (place ? `H${point.x}V${point.y}` : `M${point.x},${point.y}`));
      plot.append(svg("path", { class: "front", d: `${steps.join("")}H${area.right}` }));
    }
    for (const { row, x: place } of points) {
      if (row.std) plot.append(svg("line", { class: `bar ${colorClass(row.mark)}`, x1: place, x2: place, y1: y.at(row.mean - row.std), y2: y.at(row.mean + row.std) }));
    }
    for (const point of points) {
      plot.append(pointAt(point.x, point.y, point.row.mark, `${point.row.name}: ${point.row.text}, ${title.toLowerCase()} ${point.row.costs[key][1]}`));
    }
    placeNames(plot, points, area);
    return plot;
  };
  const front = table.better === "neither" ? "" : " On the dotted line: no row shown is both cheaper and better.";
  const chart = chartFigure("Cost and quality", `Logarithmic cost. Bars: one standard deviation over folds.${front}`, draw);
  if (able.length > 1) {
    chart.controls.append(choice("Cost", able.map((one) => [one.key, one.title]), (value) => {
      ({ key, title, ticks } = able.find((one) => one.key === value));
      chart.redraw();
    }));
  }
  return chart;
}

function foldChart(table, shownRows) {
  if (!table.rows.some((row) => row.folds.length > 1)) return null;
  const draw = (width, figure) => {
    const all = shownRows().filter((row) => row.folds.length);
    const rows = all.slice(0, MOST_NAMES);
    figure.querySelector(".rest").textContent = all.length > rows.length ? ` The first ${rows.length} of ${all.length} rows.` : "";
    if (!rows.length) return null;
    const names = Math.min(width * (width < 480 ? 0.45 : 0.36), 14 + 6.6 * Math.max(...rows.map((row) => row.name.length)));
    const area = { left: names, right: width - 12, top: 10, bottom: 10 + rows.length * 22 };
    const plot = canvas(width, area.bottom + 46, `${table.metric} in each fold; arrow keys go from row to row`);
    const values = rows.flatMap((row) => [...row.folds, ...(row.reference === null ? [] : [row.reference])]);
    const x = makeAxis(values, area.left + 4, area.right, { count: Math.max(3, Math.floor((area.right - area.left) / 90)) });
    drawAxes(plot, x, { at: () => 0, ticks: [] }, area, table.label, "");
    const labels = shortened(rows.map((row) => row.name), Math.floor((names - 8) / 6.4));
    rows.forEach((row, place) => {
      const y = area.top + 22 * place + 11;
      const low = Math.min(...row.folds);
      const high = Math.max(...row.folds);
      const spoken = `${row.name}: ${row.text}, folds from ${trimmed(low)} to ${trimmed(high)}${row.reference === null ? "" : `; published ${trimmed(row.reference)}`}`;
      const group = svg("g", { class: `point dots ${colorClass(row.mark)}`, role: "img", "aria-label": spoken, tabindex: "-1" });
      group.append(svg("line", { class: "rule", x1: area.left, x2: area.right, y1: y, y2: y }));
      group.append(svg("text", { class: "name", x: names - 8, y, dy: "0.32em", "text-anchor": "end" }, labels[place]));
      for (const value of row.folds) group.append(svg("circle", { class: "dot", cx: x.at(value).toFixed(2), cy: y, r: 3.6 }));
      group.append(svg("line", { class: "mean", x1: x.at(row.mean), x2: x.at(row.mean), y1: y - 7.5, y2: y + 7.5 }));
      if (row.reference !== null) {
        group.append(svg("path", { class: "published", transform: `translate(${x.at(row.reference).toFixed(2)},${y})`, d: SHAPES[3](5) }));
      }
      plot.append(group);
    });
    return plot;
  };
  const published = table.rows.some((row) => row.reference !== null) ? " Open diamonds: published values." : "";
  const caption = html("span", {}, `One dot per fold; vertical strokes: means.${published}`, html("span", { class: "rest" }));
  return chartFigure("Every fold", caption, draw);
}

function curveChart(table, shownRows) {
  if (!table.curves.length) return null;
  let curve = table.curves[0];
  const off = new Set();
  const legend = html("div", { class: "legend", role: "group", "aria-label": "Methods that are shown" });
  const draw = (width, figure) => {
    const shown = new Set(shownRows());
    const able = curve.lines.map((line) => ({ row: table.rows[line.row], points: line.points.map(([a, mean, std]) => [a, mean, std || 0]) })).filter(({ row }) => shown.has(row));
    const first = able.slice(0, MOST_LINES);
    figure.querySelector(".rest").textContent = able.length > first.length ? ` The first ${first.length} of ${able.length} rows.` : "";
    legend.replaceChildren(...first.map(({ row }) => {
      const swatch = svg("svg", { viewBox: "-14 -7 28 14", class: `swatch ${colorClass(row.mark)}`, "aria-hidden": "true" },
        svg("line", { x1: -14, x2: 14, y1: 0, y2: 0, "stroke-dasharray": dash(row.mark) }), svg("path", { d: markerPath(row.mark, 4) }));
      const entry = button(row.name, { "aria-pressed": String(!off.has(row)) }, () => {
        if (!off.delete(row)) off.add(row);
        chart.redraw();
        [...legend.children].find((one) => one.row === row)?.focus();
      });
      entry.row = row;
      entry.prepend(swatch);
      return entry;
    }));
    const lines = first.filter(({ row }) => !off.has(row));
    if (!lines.length) return null;
    const height = Math.min(380, Math.max(280, width * 0.62));
    const area = { left: 44, right: width - 14, top: 26, bottom: height - 46 };
    const plot = canvas(width, height, `${curve.title}; arrow keys go from point to point`);
    const xs = lines.flatMap(({ points }) => points.map(([x]) => x));
    const log = curve.log && Math.min(...xs) > 0;
    const x = makeAxis(xs, area.left, area.right, { log });
    const places = [...new Set(xs)].sort((a, b) => a - b);
    if (places.length <= 7) x.ticks = places.map((value) => [value, trimmed(value)]);
    const y = makeAxis(lines.flatMap(({ points }) => points.flatMap(([, mean, std]) => [mean - std, mean + std])), area.bottom, area.top);
    drawAxes(plot, x, y, area, curve.x_label, curve.y_label);
    for (const { row, points } of lines) {
      const path = points.map(([a, b]) => `${x.at(a).toFixed(2)},${y.at(b).toFixed(2)}`);
      if (points.some(([, , std]) => std > 0)) {
        const upper = points.map(([a, mean, std]) => `${x.at(a).toFixed(2)},${y.at(mean + std).toFixed(2)}`);
        const lower = points.map(([a, mean, std]) => `${x.at(a).toFixed(2)},${y.at(mean - std).toFixed(2)}`).reverse();
        plot.append(svg("path", { class: `band ${colorClass(row.mark)}`, d: `M${[...upper, ...lower].join("L")}z` }));
      }
      plot.append(svg("path", { class: `line ${colorClass(row.mark)}`, d: `M${path.join("L")}`, "stroke-dasharray": dash(row.mark) }));
    }
    for (const { row, points } of lines) {
      for (const [a, mean, std] of points) {
        const spread = std > 0 ? ` ± ${trimmed(std, 3)}` : "";
        plot.append(pointAt(x.at(a), y.at(mean), row.mark, `${row.name}, ${curve.x_label} ${trimmed(a)}: ${trimmed(mean)}${spread}`, "small"));
      }
    }
    return plot;
  };
  const caption = html("span", {}, "Mean over folds; bands: one standard deviation. Choose a name to hide or show its line.", html("span", { class: "rest" }));
  const chart = chartFigure("Curves", caption, draw);
  if (table.curves.length > 1) {
    chart.controls.append(choice("Curve", table.curves.map((one, place) => [place, one.title]), (place) => {
      curve = table.curves[Number(place)];
      chart.redraw();
    }));
  } else {
    chart.figure.querySelector("h4").textContent = curve.title;
  }
  chart.figure.querySelector(".stage").after(legend);
  return chart;
}

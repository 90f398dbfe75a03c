// The details of a row's trials, in a dialog: the browser keeps the focus inside and gives it back.
const MANY = 16;

function definitions(lines) {
  return html("dl", {}, ...lines.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, text)]));
}

function part(heading, ...content) {
  return html("section", {}, html("h3", {}, heading), ...content);
}

function folded(heading, open, ...content) {
  return html("details", { open }, html("summary", {}, heading), ...content);
}

function historyChart(history) {
  const names = Object.keys(history.columns);
  const axes = ["epoch", "step", "seconds"].filter((name) => names.includes(name));
  const columns = names.filter((name) => !axes.includes(name));
  if (!columns.length || !axes.length) return null;
  let [xName, yName] = [axes[0], columns[0]];
  const draw = (width) => {
    const pairs = history.columns[xName].map((x, place) => [x, history.columns[yName][place]]).filter(([x, y]) => x !== null && y !== null);
    if (!pairs.length) return null;
    const area = { left: 56, right: width - 14, top: 26, bottom: 204 };
    const plot = canvas(width, 250, `${yName} against ${xName}; arrow keys go from point to point`);
    const x = makeAxis(pairs.map(([value]) => value), area.left, area.right);
    const y = makeAxis(pairs.map(([, value]) => value), area.bottom, area.top, { count: 4 });
    drawAxes(plot, x, y, area, xName, yName);
    plot.append(svg("path", { class: "line color-0", d: `M${pairs.map(([a, b]) => `${x.at(a).toFixed(2)},${y.at(b).toFixed(2)}`).join("L")}` }));
    const every = Math.ceil(pairs.length / 40);
    pairs.forEach(([a, b], place) => {
      if (place % every && place !== pairs.length - 1) return;
      plot.append(pointAt(x.at(a), y.at(b), 0, `${xName} ${trimmed(a)}: ${yName} ${trimmed(b)}`, "small"));
    });
    return plot;
  };
  const caption = history.every > 1 ? `Every ${history.every}th line of history.csv.` : "All lines of history.csv.";
  const chart = chartFigure("History of the fit", caption, draw, "h3");
  chart.controls.append(choice("Column", columns.map((name) => [name, name]), (name) => { yName = name; chart.redraw(); }));
  if (axes.length > 1) chart.controls.append(choice("against", axes.map((name) => [name, name]), (name) => { xName = name; chart.redraw(); }));
  return chart;
}

function detailFigures(numbers) {
  const shown = numbers.map((number) => document.querySelector(`main [data-figure="${number}"]`));
  return shown.map((one) => html("figure", {}, html("figcaption", {}, one.querySelector("img")?.alt || ""), one.cloneNode(true)));
}

function measurementsTable(measurements) {
  const head = html("tr", {}, ...["Metric", "Value", "Over", "Protocol"].map((text) => html("th", { scope: "col" }, text)));
  const lines = measurements.map(([protocol, metric, value, folds]) =>
    html("tr", {}, html("th", { scope: "row" }, metric), html("td", {}, value), html("td", {}, folds), html("td", {}, protocol)));
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Measurements" },
    html("table", {}, html("thead", {}, head), html("tbody", {}, ...lines)));
}

// Everything that is known about one trial; its chart is drawn when the dialog is open and has a width.
function trialContent({ detail, folder, link }) {
  if (!detail) return [html("p", {}, `The details of this trial are not on this page; they are in the store, in ${folder}/trial.json.`)];
  const content = [html("p", { class: `state ${detail.status === "done" ? "" : "bad"}` }, detail.reason ? `${detail.status}: ${detail.reason}` : detail.status)];
  if (detail.traceback) content.push(folded("Traceback", true, html("pre", { tabindex: "0" }, detail.traceback)));
  if (detail.notes.length) content.push(html("ul", { class: "remarks" }, ...detail.notes.map((note) => html("li", {}, note))));
  if (detail.history) content.push(historyChart(detail.history));
  if (detail.measurements.length) content.push(folded("Measurements", detail.measurements.length <= MANY, measurementsTable(detail.measurements)));
  if (detail.left_out) content.push(html("p", { class: "remark" }, `${detail.left_out} more are in trial.json.`));
  const figures = detailFigures(detail.figures);
  if (figures.length) content.push(part("Figures", html("div", { class: "pictures" }, ...figures)));
  for (const place of detail.sections) {
    const { heading, lines, folded: away } = DATA.sections[place];
    content.push(away ? folded(heading, false, definitions(lines)) : part(heading, definitions(lines)));
  }
  if (link) content.push(html("p", {}, html("a", { href: link }, "trial.json in the store")));
  return content;
}

function openDetails(row) {
  const dialog = document.getElementById("details");
  const opener = document.activeElement;
  const body = html("div", {});
  const show = (number) => {
    const content = trialContent(DATA.trials[number]);
    body.replaceChildren(...content.filter(Boolean).map((one) => one.figure || one));
    content.find((one) => one?.redraw)?.redraw();
  };
  const title = html("h2", { id: "details-title", tabindex: "-1" }, row.name);
  const sheet = html("div", { class: "sheet" }, html("header", {}, title, button("Close", { class: "close" }, () => dialog.close())));
  if (row.trials.length > 1) {
    const seeds = row.trials.map((number) => [number, DATA.trials[number].title]);
    sheet.append(html("div", { class: "controls" }, choice("Seed", seeds, show)));
  }
  sheet.append(body);
  dialog.replaceChildren(sheet);
  dialog.showModal();
  if (row.trials.length) show(row.trials[0]);
  else body.append(html("p", { class: "state" }, "This row of the benchmark was not run; only its published value is known."));
  dialog.scrollTop = 0;
  title.focus();
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  dialog.onclose = () => {
    dialog.replaceChildren();
    opener?.focus();
  };
}

// Starts everything: colors, tables with their charts, galleries.
const DATA = JSON.parse(document.getElementById("payload").textContent);
const THEME = "reprbench-theme";

// A browser may store nothing for a page opened from a file; the choice then holds for this visit.
function remember(value) {
  try {
    if (value === undefined) return localStorage.getItem(THEME);
    localStorage.setItem(THEME, value);
  } catch { /* nothing is remembered */ }
  return null;
}

function chooseTheme(value) {
  document.documentElement.dataset.theme = value;
  for (const one of document.querySelectorAll("[data-theme-choice]")) {
    one.setAttribute("aria-pressed", String(one.dataset.themeChoice === value));
  }
}

for (const one of document.querySelectorAll("[data-theme-choice]")) {
  one.addEventListener("click", () => {
    chooseTheme(one.dataset.themeChoice);
    remember(one.dataset.themeChoice);
  });
}
chooseTheme(["light", "dark"].includes(remember()) ? remember() : "auto");

function enhanceGallery(section, table) {
  const gallery = section.querySelector(".gallery");
  if (!gallery) return;
  const groups = [...gallery.querySelectorAll(".figures")];
  const show = (name) => { for (const group of groups) group.hidden = group.dataset.figures !== name; };
  if (groups.length > 1) {
    gallery.querySelector("h4").after(html("div", { class: "controls" },
      choice("Figure", groups.map((group) => [group.dataset.figures, group.dataset.figures]), show)));
    for (const group of groups) group.querySelector("h5").classList.add("unseen");
    show(groups[0].dataset.figures);
  }
  section.addEventListener("rows", () => {
    const hidden = new Set([...section.querySelectorAll("tbody tr[data-row][hidden]")].flatMap((row) => table.rows[Number(row.dataset.row)].trials));
    for (const picture of gallery.querySelectorAll("figure")) picture.hidden = hidden.has(Number(picture.dataset.trial));
  });
}

for (const section of document.querySelectorAll(".result")) {
  const table = DATA.tables[Number(section.dataset.table)];
  const places = enhanceTable(section, table);
  const shownRows = () => places().map((place) => table.rows[place]);
  const charts = [costChart, foldChart, curveChart].map((make) => make(table, shownRows)).filter(Boolean);
  section.querySelector(".charts").append(...charts.map((chart) => chart.figure));
  for (const chart of charts) chart.redraw();
  section.addEventListener("rows", () => charts.forEach((chart) => chart.redraw()));
  enhanceGallery(section, table);
}

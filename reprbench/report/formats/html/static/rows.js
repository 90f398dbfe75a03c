// A table: sorting, filtering, hiding rows and columns. The event "rows" means that the rows shown have changed.
const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function sortKey(row, key, numeric) {
  const value = row.querySelector(`[data-key="${key}"]`)?.dataset.value;
  if (value === undefined) return null;
  return numeric ? Number(value) : value;
}

// Rows without a value come last, whichever way the others are sorted.
function compareRows(a, b, key, numeric, sign) {
  const [left, right] = [sortKey(a, key, numeric), sortKey(b, key, numeric)];
  if (left === null || right === null) return (left === null) - (right === null);
  return sign * (numeric ? left - right : COLLATOR.compare(left, right));
}

function enhanceTable(section, table) {
  const inOrder = () => [...section.querySelectorAll("tbody tr[data-row]")];
  const rows = inOrder();
  const heads = [...section.querySelectorAll("tbody tr.group")];
  const hidden = new Set();
  const words = rows.map((row) => [row, row.parentElement.querySelector(".group")].map((one) => one?.textContent.toLowerCase()).join(" "));
  const tools = section.querySelector(".tools");
  const filter = tools.querySelector("[data-role=filter]");
  const showAll = tools.querySelector("[data-role=show-all]");
  const count = tools.querySelector("[data-role=count]");
  tools.hidden = false;

  const update = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = hidden.has(row) || !wanted.every((word) => words[place].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    for (const head of heads) head.hidden = ![...head.parentElement.rows].some((row) => row !== head && !row.hidden);
    count.textContent = shown === rows.length ? `${shown} row${shown === 1 ? "" : "s"}` : `${shown} of ${rows.length} rows`;
    showAll.hidden = !hidden.size;
    showAll.textContent = `Show ${hidden.size} hidden row${hidden.size === 1 ? "" : "s"}`;
    section.dispatchEvent(new CustomEvent("rows"));
  };

  for (const head of section.querySelectorAll("thead th[data-key]")) {
    const text = head.textContent;
    const numeric = head.classList.contains("number");
    head.replaceChildren(button(text, { class: "sorter" }, () => {
      const descending = head.getAttribute("aria-sort") === "ascending" || (!head.hasAttribute("aria-sort") && numeric);
      for (const other of section.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const sorted = [...rows].sort((a, b) => compareRows(a, b, head.dataset.key, numeric, descending ? -1 : 1));
      // Each row stays under its heading.
      for (const row of sorted) row.parentElement.append(row);
      section.dispatchEvent(new CustomEvent("rows"));
    }));
  }

  for (const row of rows) {
    const name = row.querySelector(".name");
    name.replaceWith(button(name.textContent, { class: "name", "aria-haspopup": "dialog" }, () => openDetails(table.rows[Number(row.dataset.row)])));
    row.querySelector(".hider").append(button("×", { class: "hide", "aria-label": `Hide ${name.textContent}`, title: "Hide this row" }, () => {
      const now = inOrder();
      const next = now.slice(now.indexOf(row) + 1).find((one) => !one.hidden);
      hidden.add(row);
      update();
      (next?.querySelector(".hide") || showAll).focus();
    }));
  }

  for (const box of tools.querySelectorAll("[data-column]")) {
    box.addEventListener("change", () => {
      for (const cell of section.querySelectorAll(`table [data-key="${box.dataset.column}"]`)) cell.hidden = !box.checked;
    });
  }
  const menu = tools.querySelector(".menu");
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });

  filter.addEventListener("input", update);
  showAll.addEventListener("click", () => {
    hidden.clear();
    update();
    filter.focus();
  });
  count.textContent = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
  return () => inOrder().filter((row) => !row.hidden).map((row) => Number(row.dataset.row));
}

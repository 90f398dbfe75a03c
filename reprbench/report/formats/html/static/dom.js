// Elements. Text only ever becomes a text node: whatever a method is called, it is never read as markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function button(text, attributes, action) {
  const element = html("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", action);
  return element;
}

// A labeled choice; `options` are [value, text].
function choice(label, options, action) {
  const select = html("select", {}, ...options.map(([value, text]) => html("option", { value }, text)));
  select.addEventListener("change", () => action(select.value));
  return html("label", { class: "field" }, `${label} `, select);
}

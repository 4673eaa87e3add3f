// Elements are made here and nowhere from text: whatever people are called stays text.

const SVG = "http://www.w3.org/2000/svg";

function furnish(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "at") for (const [key, size] of Object.entries(value)) element.style.setProperty(key, size);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: `on…` are listeners, `at` is an object of CSS properties, the rest attributes. */
export function el(name, props = {}, ...children) {
  return furnish(document.createElement(name), props, children);
}

export function svg(name, props = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), props, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return parent;
}

const SHOWN = 300;

/** Text that somebody else wrote: isolated in its direction, cut where it goes on and on. */
export function theirs(text, props = {}) {
  const whole = String(text);
  const shown = whole.length > SHOWN ? `${whole.slice(0, SHOWN)}…` : whole;
  return el("bdi", { title: whole.length > 40 ? shown : null, ...props }, shown);
}

let count = 0;

/** An id that nothing else on the page has. */
export function fresh(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}

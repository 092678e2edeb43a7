// Numbers as text, and elements with text. Text only: nothing here reads markup.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (n) => (n == null ? "–" : n >= 1e6 ? short.format(n) : n < 100 && !Number.isInteger(n) ? fine.format(n) : whole.format(n));

export function bytes(n) {
  if (n == null) return "–";
  const step = n < 1 ? 0 : Math.min(4, Math.floor(Math.log(n) / Math.log(1024)));
  const value = n / 1024 ** step;
  return `${step && value < 100 ? value.toFixed(1) : Math.round(value)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

export function ms(n) {
  if (n == null) return "–";
  if (n >= 1000) return `${(n / 1000).toFixed(n < 10_000 ? 2 : 1)} s`;
  return `${n < 1 ? n.toFixed(2) : n < 10 ? n.toFixed(1) : Math.round(n)} ms`;
}

export function seconds(n) {
  if (n == null) return "–";
  if (n < 60) return `${n < 10 ? n.toFixed(1) : Math.round(n)} s`;
  if (n < 3600) return `${Math.floor(n / 60)} min ${Math.round(n % 60)} s`;
  return n < 86_400 ? `${Math.floor(n / 3600)} h ${Math.round((n % 3600) / 60)} min` : `${Math.floor(n / 86_400)} d ${Math.round((n % 86_400) / 3600)} h`;
}

export const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

export const byId = (id) => document.getElementById(id);

// Makes an element with a class and text or children.
export function element(name, className = "", content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (Array.isArray(content)) made.append(...content);
  else if (content !== "") made.textContent = content;
  return made;
}

// Sets a text, if it is another one: what does not change is not laid out again.
export function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

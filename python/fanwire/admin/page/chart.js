// A small chart of the last five minutes on a canvas: lines over time, with axes. The pointer, or the arrow keys, read its
// values. It is drawn when a reading comes, once a second, and while the pointer moves.

import { clock } from "./format.js";

export const SECONDS = 300;
const LEFT = 52, RIGHT = 6, TOP = 8, BOTTOM = 16;
const GAP = 3500; // milliseconds without a reading that stay a gap

// Colours come from the style sheet, and change with it.
let palette;
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  palette = { grid: get("--grid"), soft: get("--soft"), faint: get("--faint"), series: [0, 1, 2, 3].map((n) => get("--s" + n)) };
}
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => (palette = null));

// 1, 2 or 5 times a power of ten (of 1024 for bytes), so that the scale seldom changes.
function roundUp(n, base) {
  let unit = 1;
  if (base === 1024) while (unit * 1024 <= n) unit *= 1024;
  const power = 10 ** Math.floor(Math.log10(n / unit));
  return unit * ([1, 2, 5, 10].map((step) => step * power).find((step) => step >= (n / unit) * 0.999) ?? n);
}

export class Chart {
  #canvas;
  #tip;
  #options;
  #history = [];
  #cursor = null; // a share of the width, 0 to 1

  // options: title; lines: names of values by their text; format of a value; least: the lowest top of the axis; max: its
  // fixed top; log: [lowest, highest] of an axis with powers of ten; base: 1024 for bytes.
  constructor(tile, options) {
    this.#options = { least: 1, ...options };
    this.#canvas = tile.querySelector("canvas");
    this.#tip = tile.querySelector("output");
    this.#canvas.tabIndex = 0;
    this.#canvas.setAttribute("role", "img");
    this.#canvas.ariaLabel = `${options.title}, the last five minutes. The arrow keys read the values.`;
    const listen = (event, call) => this.#canvas.addEventListener(event, call);
    listen("pointermove", (event) => this.#point((event.offsetX - LEFT) / this.#width));
    listen("pointerleave", () => this.#point(null));
    listen("blur", () => this.#point(null));
    listen("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
      if (event.key === "Escape") this.#point(null);
      if (!step) return;
      event.preventDefault();
      this.#point((this.#cursor ?? 1) + step / SECONDS, "polite");
    });
  }

  // Draws a history: a list of { at, values }, oldest first.
  draw(history) {
    this.#history = history;
    if (document.hidden) return;
    if (!palette) readPalette();
    const { pen, width, height } = this.#surface();
    const now = history.at(-1)?.at ?? Date.now(), from = now - SECONDS * 1000, bottom = height - BOTTOM;
    const { lines, log, format } = this.#options;
    const top = log ? log[1] : this.#top(from);
    const x = (at) => LEFT + ((at - from) / (SECONDS * 1000)) * this.#width;
    const share = log ? (v) => Math.log(Math.max(log[0], v) / log[0]) / Math.log(log[1] / log[0]) : (v) => v / top;
    const y = (v) => bottom - Math.min(1, Math.max(0, share(v))) * (bottom - TOP);
    this.#axes(pen, width, bottom, y, x, from, top, log, format);
    Object.values(lines).forEach((name, n) => this.#line(pen, name, palette.series[n], x, y, bottom));
    if (this.#cursor !== null) this.#read(pen, from + this.#cursor * SECONDS * 1000, x, y, bottom, now);
  }

  get #width() {
    return this.#canvas.clientWidth - LEFT - RIGHT;
  }

  #surface() {
    const canvas = this.#canvas, scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "10px system-ui, sans-serif";
    pen.textBaseline = "middle";
    return { pen, width, height };
  }

  #top(from) {
    const { least, max, lines, base } = this.#options;
    if (max) return max;
    let peak = least;
    for (const { at, values } of this.#history) {
      if (at < from) continue;
      for (const name of Object.values(lines)) if (values[name] > peak) peak = values[name];
    }
    return roundUp(peak, base);
  }

  #axes(pen, width, bottom, y, x, from, top, log, format) {
    const marks = [0, top / 2, top];
    if (log) for (marks.length = 0, marks.push(log[0]); marks.at(-1) < log[1];) marks.push(marks.at(-1) * 10);
    pen.strokeStyle = palette.grid;
    pen.fillStyle = palette.soft;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.beginPath();
    marks.forEach((mark, n) => {
      const at = Math.round(y(mark)) + 0.5;
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      if (!log || n % 2 === 0) pen.fillText(format(mark), LEFT - 5, at);
    });
    pen.stroke();
    const times = [[0, "5 min ago", "left"], [0.5, "2½ min", "center"], [1, "now", "right"]];
    for (const [share, text, align] of this.#width < 180 ? [times[0], times[2]] : times) {
      pen.textAlign = align;
      pen.fillText(text, x(from + share * SECONDS * 1000), bottom + 9);
    }
  }

  #line(pen, name, colour, x, y, bottom) {
    const points = this.#history.filter(({ values }) => values[name] != null);
    if (!points.length) return;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.5;
    pen.lineJoin = "round";
    for (let start = 0, n = 1; n <= points.length; n++) {
      if (n < points.length && points[n].at - points[n - 1].at < GAP) continue;
      pen.beginPath();
      for (let k = start; k < n; k++) pen.lineTo(x(points[k].at), y(points[k].values[name]));
      if (n - start === 1) pen.lineTo(x(points[start].at) + 1, y(points[start].values[name]));
      pen.stroke();
      if (Object.keys(this.#options.lines).length === 1) {
        pen.lineTo(x(points[n - 1].at), bottom);
        pen.lineTo(x(points[start].at), bottom);
        pen.globalAlpha = 0.1;
        pen.fill();
        pen.globalAlpha = 1;
      }
      start = n;
    }
  }

  #point(share, live = "off") {
    this.#cursor = share === null ? null : Math.max(0, Math.min(1, share));
    this.#tip.setAttribute("aria-live", live);
    this.#tip.hidden = this.#cursor === null;
    this.draw(this.#history);
  }

  // The cursor: a line, and the values of the reading before it as text.
  #read(pen, at, x, y, bottom, now) {
    const { lines, format } = this.#options;
    const near = this.#history.findLast((point) => point.at <= at + 500);
    const left = Math.round(x(at)) + 0.5;
    pen.strokeStyle = palette.faint;
    pen.beginPath();
    pen.moveTo(left, TOP);
    pen.lineTo(left, bottom);
    pen.stroke();
    const found = [at > now - 1000 ? "now" : clock(at)];
    if (!near || at - near.at > GAP) found.push("no reading");
    else {
      Object.entries(lines).forEach(([text, name], n) => {
        const value = near.values[name];
        if (value == null) return;
        pen.fillStyle = palette.series[n];
        pen.beginPath();
        pen.arc(left, y(value), 3, 0, 7);
        pen.fill();
        found.push(`${text}: ${format(value)}`);
      });
    }
    const text = found.join("\n");
    if (this.#tip.textContent !== text) this.#tip.textContent = text;
    const offset = this.#canvas.offsetLeft, isLeft = this.#cursor < 0.5;
    this.#tip.style.left = isLeft ? `${offset + left + 8}px` : "auto";
    this.#tip.style.right = isLeft ? "auto" : `${this.#canvas.clientWidth - left + 20}px`;
  }
}

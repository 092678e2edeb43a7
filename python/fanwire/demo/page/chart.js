// A chart of the last seconds on a canvas: lines over time, with axes. The pointer, or the arrow keys, read its values.
// A time without values stays a gap.

const LEFT = 64, RIGHT = 10, TOP = 10, BOTTOM = 22;
const GAP = 1500;

// Colours come from the style sheet, and change with it.
let palette;
function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  palette = { grid: get("--grid"), soft: get("--soft"), text: get("--text"), series: [...Array(8).keys()].map((n) => get("--s" + n)) };
}
readPalette();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readPalette);

// The canvases that are in sight: no other is drawn.
const inSight = new WeakSet();
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) inSight[isIntersecting ? "add" : "delete"](target);
});
export const isInSight = (canvas) => inSight.has(canvas);
export const watchSight = (canvas) => sight.observe(canvas);

// Prepares a canvas for the density of the screen. Returns its pen and its size.
export function surface(canvas) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  return { pen, width, height, palette };
}

// 1, 2 or 5 times a power of ten, so that the scale seldom changes.
export function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= n * 0.999) || n;
}

export class Chart {
  #canvas;
  #options;
  #series = new Map();
  #cursor = null; // a share of the width, 0 to 1
  #tip;

  // options: format of a value; names of lines, in the order of their colours; max: the fixed top of the axis; least: its
  // lowest top; log: [lowest, highest] of an axis with powers of ten; seconds: the width.
  constructor(canvas, options) {
    this.#canvas = canvas;
    this.#options = { seconds: 30, least: 1, max: null, log: null, ...options };
    for (const name of options.names ?? []) this.#series.set(name, []);
    const frame = document.createElement("div");
    frame.className = "chart";
    this.#tip = Object.assign(document.createElement("output"), { className: "tip", hidden: true });
    canvas.replaceWith(frame);
    frame.append(canvas, this.#tip);
    canvas.tabIndex = 0;
    watchSight(canvas);
    canvas.addEventListener("pointermove", (event) => this.#point((event.offsetX - LEFT) / this.#width, "off"));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("blur", () => this.#point(null));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
      if (event.key === "Escape") this.#point(null);
      if (!step) return;
      event.preventDefault();
      this.#point((this.#cursor ?? 1) + step, "polite");
    });
  }

  push(name, t, value) {
    if (!this.#series.has(name)) this.#series.set(name, []);
    const points = this.#series.get(name);
    points.push([t, value]);
    if (points.length > 64 && points[64][0] < t - this.#options.seconds * 1000) points.splice(0, 64);
  }

  draw(now) {
    if (!isInSight(this.#canvas)) return;
    const { pen, width, height } = surface(this.#canvas);
    const { seconds, log } = this.#options;
    const from = now - seconds * 1000, bottom = height - BOTTOM;
    const top = log ? log[1] : this.#top(from);
    const x = (t) => LEFT + ((t - from) / (seconds * 1000)) * this.#width;
    const share = log ? (v) => Math.log(Math.max(log[0], v) / log[0]) / Math.log(log[1] / log[0]) : (v) => v / top;
    const y = (v) => bottom - Math.min(1, Math.max(0, share(v))) * (bottom - TOP);
    this.#axes(pen, width, bottom, y, x, from, top);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, this.#width, height);
    pen.clip();
    [...this.#series.values()].forEach((points, n) => this.#line(pen, points, palette.series[n % 8], x, y, bottom));
    pen.restore();
    if (this.#cursor !== null) this.#read(pen, from + this.#cursor * seconds * 1000, x, y, bottom, now);
  }

  get #width() {
    return this.#canvas.clientWidth - LEFT - RIGHT;
  }

  #top(from) {
    let peak = this.#options.least;
    for (const points of this.#series.values()) for (const [t, v] of points) if (t > from && v > peak) peak = v;
    return this.#options.max ?? roundUp(peak);
  }

  #axes(pen, width, bottom, y, x, from, top) {
    const { format, log, seconds } = this.#options;
    const marks = [0, top / 2, top];
    if (log) for (marks.length = 0, marks.push(log[0]); marks.at(-1) < log[1];) marks.push(marks.at(-1) * 10);
    pen.strokeStyle = palette.grid;
    pen.fillStyle = palette.soft;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.beginPath();
    for (const mark of marks) {
      const at = Math.round(y(mark)) + 0.5;
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      pen.fillText(format(mark), LEFT - 6, at);
    }
    pen.stroke();
    for (const share of this.#width < 240 ? [0, 1] : [0, 1 / 3, 2 / 3, 1]) {
      const ago = Math.round(seconds * (1 - share));
      pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      pen.fillText(ago ? `${ago} s ago` : "now", x(from + share * seconds * 1000), bottom + 13);
    }
  }

  #line(pen, points, colour, x, y, bottom) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 1.8;
    pen.lineJoin = "round";
    let start = 0;
    for (let n = 1; n <= points.length; n++) {
      if (n < points.length && points[n][0] - points[n - 1][0] < GAP) continue;
      pen.beginPath();
      for (let k = start; k < n; k++) pen.lineTo(x(points[k][0]), y(points[k][1]));
      pen.stroke();
      if (this.#series.size === 1 && !this.#options.log) {
        pen.lineTo(x(points[n - 1][0]), bottom);
        pen.lineTo(x(points[start][0]), bottom);
        pen.globalAlpha = 0.12;
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
  }

  // The cursor: a line, a dot on each series, and the values as text.
  #read(pen, at, x, y, bottom, now) {
    const ago = (now - at) / 1000;
    const found = [ago < 0.5 ? "now" : ago.toFixed(0) + " s ago"];
    pen.strokeStyle = palette.soft;
    pen.beginPath();
    pen.moveTo(Math.round(x(at)) + 0.5, TOP);
    pen.lineTo(Math.round(x(at)) + 0.5, bottom);
    pen.stroke();
    [...this.#series].forEach(([name, points], n) => {
      const near = points.findLast(([t]) => t <= at);
      if (!near || at - near[0] > GAP) return;
      pen.fillStyle = palette.series[n % 8];
      pen.beginPath();
      pen.arc(x(at), y(near[1]), 3.5, 0, 7);
      pen.fill();
      found.push(`${name}: ${this.#options.format(near[1])}`);
    });
    const text = found.join("\n");
    if (this.#tip.textContent !== text) this.#tip.textContent = text;
    this.#tip.style.left = `${this.#cursor < 0.5 ? x(at) + 10 : 0}px`;
    this.#tip.style.right = this.#cursor < 0.5 ? "auto" : `${this.#canvas.clientWidth - x(at) + 10}px`;
    if (this.#cursor >= 0.5) this.#tip.style.left = "auto";
  }
}

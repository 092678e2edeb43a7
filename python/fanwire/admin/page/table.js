// A table whose columns sort it and whose rows stay the same elements while their texts change, so that the focus and the
// pointer keep their place.

import { element, write } from "./format.js";

export class Table {
  #table;
  #columns;
  #empty;
  #open;
  #rows = new Map(); // key to <tr>
  #data = [];
  #sort;

  // columns: { name, value(row), text(row), isNumber, className(row) }. sort: [index of a column, 1 or -1], or null: the
  // rows stay as they come. open: is called with a row that was clicked.
  constructor(table, { columns, empty, sort = null, open = null }) {
    this.#table = table;
    this.#columns = columns;
    this.#empty = empty;
    this.#open = open;
    this.#sort = sort;
    const head = element("tr");
    columns.forEach((column, n) => {
      const button = element("button", "", column.name);
      button.type = "button";
      button.addEventListener("click", () => this.#sortBy(n));
      const cell = element("th", column.isNumber ? "number" : "", [button]);
      cell.scope = "col";
      head.append(cell);
    });
    table.tHead.replaceChildren(head);
  }

  // Shows rows; `key` names each, and stays the same for the same thing.
  show(rows, key) {
    this.#data = rows.map((row) => [key(row), row]);
    this.#write();
  }

  choose(key) {
    for (const [name, row] of this.#rows) row.classList.toggle("chosen", name === key);
  }

  #sortBy(n) {
    const first = this.#columns[n].isNumber ? -1 : 1;
    this.#sort = this.#sort?.[0] === n ? [n, -this.#sort[1]] : [n, first];
    this.#write();
  }

  #write() {
    const data = [...this.#data];
    if (this.#sort) {
      const [n, way] = this.#sort, { value } = this.#columns[n];
      data.sort(([, a], [, b]) => way * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    }
    [...this.#table.tHead.rows[0].cells].forEach((cell, n) => {
      if (this.#sort?.[0] === n) cell.ariaSort = this.#sort[1] > 0 ? "ascending" : "descending";
      else cell.removeAttribute("aria-sort");
    });
    const body = this.#table.tBodies[0];
    const known = new Set(data.map(([key]) => key));
    for (const [key, row] of this.#rows) {
      if (!known.has(key)) {
        row.remove();
        this.#rows.delete(key);
      }
    }
    body.querySelector(".none")?.remove();
    data.forEach(([key, row], place) => {
      let line = this.#rows.get(key);
      if (!line) this.#rows.set(key, (line = this.#line()));
      line.row = row;
      if (body.rows[place] !== line) body.insertBefore(line, body.rows[place] ?? null);
      this.#columns.forEach(({ text, className, isNumber }, n) => {
        const cell = line.cells[n], shown = text(row);
        write(cell, shown);
        if (!isNumber && cell.title !== shown) cell.title = shown;
        const kind = `${isNumber ? "number" : ""} ${className?.(row) ?? ""}`.trim();
        if (cell.className !== kind) cell.className = kind;
      });
    });
    if (!data.length) {
      const cell = element("td", "empty", this.#empty);
      cell.colSpan = this.#columns.length;
      body.append(element("tr", "none", [cell]));
    }
  }

  #line() {
    const line = element("tr", "", this.#columns.map(() => element("td")));
    if (this.#open) {
      line.tabIndex = 0;
      line.addEventListener("click", () => this.#open(line.row));
      line.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          this.#open(line.row);
        }
        const next = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling }[event.key];
        if (next) {
          event.preventDefault();
          next.focus();
        }
      });
    }
    return line;
  }
}

// Writes names, bars and numbers into a list. rows: [name, text, share of the bar, class].
export function writeBars(list, rows, empty) {
  const parts = [];
  for (const [name, text, share, className = ""] of rows) {
    const fill = element("i");
    fill.style.width = `${Math.round(100 * Math.max(0, Math.min(1, share || 0)))}%`;
    const title = element("dt", "", name);
    title.title = name;
    parts.push(title, element("div", "bar", [fill]), element("dd", className, text));
  }
  const print = JSON.stringify(rows);
  if (list.dataset.print === print && parts.length) return;
  list.dataset.print = print;
  list.replaceChildren(...(parts.length ? parts : [element("p", "empty", empty)]));
}

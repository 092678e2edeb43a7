// The code beside each panel. It is the code that runs: the files are fetched, and the regions with a name are shown.

// Text between `// #region NAME` (in Python `# region NAME`) and the end of the region, without its indent.
export function region(source, name) {
  const regions = [];
  let inside = null;
  for (const line of source.split("\n")) {
    const mark = line.match(/^\s*(?:\/\/ #|# )(region|endregion)\b ?(.*)$/);
    if (!mark) inside?.push(line);
    else if (mark[2] === name) regions.push((inside = []));
    else inside = null;
  }
  return regions.map((lines) => {
    const indent = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
    return lines.map((line) => line.slice(indent)).join("\n").trim();
  }).join("\n\n");
}

const PARTS = new RegExp(
  [
    "(?<note>\\/\\/.*|#.*|\"\"\"[^]*?\"\"\")",
    "(?<text>\"[^\"\\n]*\"|`[^`]*`)",
    "(?<word>\\b(?:async|await|class|const|def|export|extends|for|function|if|import|from|in|let|new|of|return|throw)\\b)",
  ].join("|"),
  "g",
);

function coloured(source) {
  const parts = document.createDocumentFragment();
  let at = 0;
  for (const match of source.matchAll(PARTS)) {
    parts.append(source.slice(at, match.index));
    const span = document.createElement("span");
    span.className = Object.entries(match.groups).find(([, text]) => text !== undefined)[0];
    span.textContent = match[0];
    parts.append(span);
    at = match.index + match[0].length;
  }
  parts.append(source.slice(at));
  return parts;
}

// Fills each element with `data-code="PATH#REGION PATH#REGION"`.
export function showCode() {
  const sources = new Map();
  const shown = async (path, name) => {
    if (!sources.has(path)) sources.set(path, fetch(path).then((response) => response.text()));
    try {
      return region(await sources.get(path), name);
    } catch {
      return "// Not loaded: the server is gone.";
    }
  };
  for (const place of document.querySelectorAll("[data-code]")) {
    for (const reference of place.dataset.code.split(" ")) {
      const [path, name] = reference.split("#");
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      const block = document.createElement("pre");
      const link = Object.assign(document.createElement("a"), { href: path, textContent: path.split("/").at(-1) });
      caption.append(path.endsWith(".py") ? "In the server: " : "In this page: ", link);
      block.tabIndex = 0;
      block.setAttribute("aria-label", `Code of ${path}`);
      shown(path, name).then((text) => block.append(coloured(text)));
      figure.append(caption, block);
      place.append(figure);
    }
  }
}

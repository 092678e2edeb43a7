// The admin API (docs/admin.md), beside this page at api/v1/.

const KEY = "fanwire-admin-key";

// Only this tab has the key, and only until it is closed. It never stands in an address.
export const keep = (key) => sessionStorage.setItem(KEY, key);
export const kept = () => sessionStorage.getItem(KEY);
export const forget = () => sessionStorage.removeItem(KEY);

export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// Asks the API, and returns the document of its answer. Throws an ApiError with words for people.
export async function ask(path, { method = "GET", body, key = kept() } = {}) {
  const headers = { Authorization: `Bearer ${key}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store", signal: AbortSignal.timeout(10_000),
    });
  } catch {
    throw new ApiError(0, "The server does not answer.");
  }
  const text = await answer.text();
  let found = null;
  try {
    found = text ? JSON.parse(text) : null;
  } catch {
    // An answer of a proxy.
  }
  if (!answer.ok) throw new ApiError(answer.status, sentence(found?.detail ?? `The server answered with ${answer.status}.`));
  return found;
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

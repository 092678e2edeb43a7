// The members of a room, page by page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestFailed } from "../build/errors.js";
import { countMembers, readMembers } from "../build/machine/presence.js";

/** A server with these pages; `asked` has the payloads. */
function server(...pages) {
  const asked = [];
  return { asked, ask: async (payload) => (asked.push(payload), pages[Math.min(asked.length, pages.length) - 1]) };
}

const page = (ids, next) => ({ count: 9, members: [...ids].map((id) => ({ id, info: id })), ...(next && { next }) });

test("pages are read to the last one", async () => {
  const { ask, asked } = server(page("ab", "b"), page("cd", "d"), page("e"));
  assert.deepEqual([...(await readMembers(ask)).keys()], ["a", "b", "c", "d", "e"]);
  assert.deepEqual(asked.map(({ after }) => after), [undefined, "b", "d"]);
});

test("the limit holds, also for the last page", async () => {
  const { ask, asked } = server(page("ab", "b"), page("cde", "e"));
  assert.deepEqual([...(await readMembers(ask, 3)).keys()], ["a", "b", "c"]);
  assert.deepEqual(JSON.parse(JSON.stringify(asked)), [{ limit: 3 }, { after: "b", limit: 1 }]);
});

test("a server that begins anew again and again does not keep the client", async () => {
  const { ask, asked } = server(page("ab", "b"));
  assert.equal((await readMembers(ask)).size, 2);
  assert.equal(asked.length, 2);
});

test("the count is that of the server", async () => {
  assert.equal(await countMembers(server(page("a")).ask), 9);
});

test("an answer that cannot be read fails the call", async () => {
  for (const answer of [null, 5, {}, { count: 1, members: {} }, { count: 1, members: [5] }])
    await assert.rejects(readMembers(server(answer).ask), RequestFailed);
});

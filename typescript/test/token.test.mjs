import assert from "node:assert/strict";
import { test } from "node:test";
import { checkToken, tokenSource } from "../build/token.js";

test("a text is the token of each request, and none is none", async () => {
  assert.equal(await tokenSource("abc", 1000)(), "abc");
  assert.equal(await tokenSource(undefined, 1000)(), undefined);
});

test("a function is called each time, and once at a time", async () => {
  let running = 0;
  let calls = 0;
  const next = tokenSource(async () => {
    assert.equal(++running, 1);
    await new Promise((done) => setTimeout(done, 2));
    running--;
    return `t${++calls}`;
  }, 1000);
  assert.deepEqual(await Promise.all([next(), next(), next()]), ["t1", "t2", "t3"]);
});

test("a call that fails does not fail the next", async () => {
  let calls = 0;
  const next = tokenSource(() => {
    if (!calls++) throw new Error("no");
    return "t";
  }, 1000);
  await assert.rejects(next(), /no/);
  assert.equal(await next(), "t");
});

test("a function that does not return has failed in time", async (t) => {
  // The timeout does not keep a program alive.
  const alive = setTimeout(() => {}, 10_000);
  t.after(() => clearTimeout(alive));
  await assert.rejects(tokenSource(() => new Promise(() => {}), 10)(), { name: "TimeoutError" });
});

for (const wrong of ["", "a b", "é", "a\n", 7, null]) {
  test(`${JSON.stringify(wrong)} is no token`, async () => {
    assert.throws(() => checkToken(wrong), TypeError);
    await assert.rejects(tokenSource(() => wrong, 1000)(), TypeError);
  });
}

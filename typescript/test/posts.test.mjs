import assert from "node:assert/strict";
import { test } from "node:test";
import { insist, postQueue } from "../build/transport/posts.js";

const answer = (status) => ({ status });
const settle = async () => {
  for (let times = 0; times < 50; times++) await null;
};

function queue(post) {
  const failures = [];
  const push = postQueue(post, (failure) => failures.push(failure.status), async () => {});
  return { push, failures };
}

test("what is sent in one turn is one batch", async () => {
  const posts = [];
  const { push } = queue(async (...post) => (posts.push(post), answer(204)));
  push("a");
  push("b");
  await settle();
  push("c");
  await settle();
  assert.deepEqual(posts, [[1, "a\nb"], [2, "c"]]);
});

test("one batch is under way at a time, and the next has what came meanwhile", async () => {
  const posts = [];
  const { push } = queue((...post) => new Promise((done) => posts.push([post, done])));
  push("a");
  await settle();
  push("b");
  push("c");
  await settle();
  assert.equal(posts.length, 1);
  posts[0][1](answer(204));
  await settle();
  assert.deepEqual(posts[1][0], [2, "b\nc"]);
});

test("a batch is bounded, and one message always fits", async () => {
  const posts = [];
  const { push } = queue(async (number, body) => (posts.push(body.length), answer(204)));
  push("x".repeat(100_000));
  for (let times = 0; times < 5; times++) push("y".repeat(20_000));
  await settle();
  assert.deepEqual(posts, [100_000, 60_002, 40_001]);
});

test("a failed batch is repeated with its number and its body", async () => {
  const posts = [];
  const { push, failures } = queue(async (...post) => {
    posts.push(post);
    if (posts.length == 1) throw new Error("network");
    return answer(posts.length < 4 ? 503 : 204);
  });
  push("a");
  await settle();
  push("b");
  await settle();
  assert.deepEqual(posts, [[1, "a"], [1, "a"], [1, "a"], [1, "a"], [2, "b"]]);
  assert.deepEqual(failures, []);
});

for (const status of [404, 409, 413, 200]) {
  test(`nothing follows a batch that was answered ${status}`, async () => {
    let posts = 0;
    const { push, failures } = queue(async () => (posts++, answer(status)));
    push("a");
    await settle();
    push("b");
    await settle();
    assert.equal(posts, 1);
    assert.deepEqual(failures, [status]);
  });
}

test("the attempts of a batch are bounded, and so are the pauses", async () => {
  const pauses = [];
  let times = 0;
  const last = await insist(
    async () => (times++, answer(500)),
    async (ms) => pauses.push(ms),
  );
  assert.equal(last.status, 500);
  assert.equal(times, 7);
  assert.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200]);
});

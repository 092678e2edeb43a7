// The client's messages of a fallback transport: batches of lines, numbered, one under way at a time.
import { sleep } from "../timers";

/** Characters of a batch: a message that waits behind it is not late, and few requests are needed. One message always
 * fits. */
const MAX_BODY = 65_536;
/** Milliseconds of the longest pause between two attempts; all pauses together take some six seconds. Then the
 * session is resumed over another link, which repeats what the server has not counted. */
const MAX_PAUSE = 3200;

/** What is read of an answer. */
type Answer = Pick<Response, "status">;

/** Repeats a request whose failure may pass: no answer, 429, or a failure of the server or of a proxy. undefined: there
 * was no answer in the end. */
export async function insist<A extends Answer>(request: () => Promise<A>, pause = sleep): Promise<A | undefined> {
  for (let ms = 100; ; ms *= 2) {
    const answer = await request().catch(() => undefined);
    if ((answer && answer.status < 500 && answer.status != 429) || ms > MAX_PAUSE) return answer;
    await pause(ms);
  }
}

/**
 * Returns a function that sends a line. What is sent in one turn of the event loop, or while a batch is under way, is
 * one batch.
 * @param post sends the batch with this number.
 * @param onFailure there is no use in going on.
 */
export function postQueue<A extends Answer>(
  post: (number: number, body: string) => Promise<A>,
  onFailure: (answer?: A) => void,
  pause?: typeof sleep,
): (line: string) => void {
  const lines: string[] = [];
  let number = 0;
  let isBusy = false;
  return async (line) => {
    lines.push(line);
    if (isBusy) return;
    isBusy = true;
    await null;
    while (lines[0] != null) {
      let body = lines.shift()!;
      while (lines[0] != null && body.length + lines[0].length < MAX_BODY) body += "\n" + lines.shift();
      number++;
      const answer = await insist(() => post(number, body), pause);
      // It stays busy: nothing may follow a batch that has failed.
      if (answer?.status != 204) return onFailure(answer);
    }
    isBusy = false;
  };
}

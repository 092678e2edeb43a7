// Reads the messages that a room keeps, page by page. Reading ends, whatever a server answers.
import type { Core } from "./core";
import { messageOf } from "./membership";
import { fromBase64 } from "../base64";
import type { Envelope } from "../codec";
import { RequestFailed } from "../errors";
import { check, seqOf } from "../fields";
import type { Message } from "../message";

/** More messages than any room keeps, and the most that a join may ask for. */
export const ALL = 1_000_000;

const enum Limit {
  /** Messages of a page: at most, and where the application sets no limit, of which a list has as many. */
  MOST = 1000,
  PAGE = 100,
}

export interface HistoryOptions {
  /** Only messages with lower numbers. */
  before?: number | null;
  /** Only messages with higher numbers. */
  after?: number | null;
  /** The numbering that these belong to, as `Position.epoch`; the server refuses them if the room has another. */
  epoch?: string;
  /** The most messages. */
  limit?: number | null;
  signal?: AbortSignal;
}

/** Messages that a room keeps: await it for a list, or iterate over it. */
export interface History extends PromiseLike<Message[]>, AsyncIterable<Message> {}

/**
 * @param ask sends a request with this payload, and returns that of the reply.
 * @throws RangeError: an option is out of range.
 */
export function readHistory(
  core: Core,
  room: string,
  ask: (payload: unknown) => Promise<unknown>,
  { before, after, epoch, limit }: HistoryOptions,
): History {
  for (const value of [before, after, limit ?? 1])
    if (value != null && !(Number.isSafeInteger(value) && value >= 0)) throw new RangeError("before, after and limit are whole numbers");
  const isForward = after != null;

  async function* pages(most: number): AsyncGenerator<Message[]> {
    let [low, high, numbering] = [after ?? undefined, before ?? undefined, epoch];
    for (let more = true; more && most > 0; ) {
      const size = Math.min(most, most < Infinity ? Limit.MOST : Limit.PAGE);
      const answer = await ask({ before: high, after: low, epoch: numbering, limit: size });
      let messages: Message[];
      try {
        const page = check(answer, { epoch: "" }, { messages: [] as unknown[], more: false });
        // What is not in the asked direction is none of this reading: so each page goes on.
        messages = page.messages
          .slice(0, size)
          .map((entry) => kept(core, room, entry))
          .filter(({ seq }) => seq! > (low ?? -1) && seq! < (high ?? Infinity));
        ({ epoch: numbering, more } = page);
      } catch (error) {
        throw new RequestFailed("unreadable", `${error}`);
      }
      if (!messages[0]) return;
      yield messages;
      if (isForward) low = messages.at(-1)!.seq!;
      else high = messages[0].seq!;
      most -= messages.length;
    }
  }

  async function list(): Promise<Message[]> {
    const found: Message[][] = [];
    for await (const page of pages(limit ?? Limit.PAGE)) found.push(page);
    return (isForward ? found : found.reverse()).flat();
  }

  return {
    then: (...both) => list().then(...both),
    async *[Symbol.asyncIterator]() {
      for await (const page of pages(limit ?? Infinity)) yield* isForward ? page : [...page].reverse();
    },
  };
}

/** A message of a page. @throws Error: it is none. */
function kept(core: Core, room: string, entry: unknown): Message {
  const envelope = check(entry, { type: "", seq: 0 }, { ts: 0, encoding: "" }) as Envelope;
  if (envelope.encoding) envelope.payload = fromBase64(envelope.payload as string);
  return messageOf(core, { ...envelope, room }, seqOf(envelope), null);
}

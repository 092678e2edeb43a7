// The inputs of a room that the server has not processed.
import { say, type Core } from "./core";
import type { Room } from "../room";

/** An input that the values of the room do not include yet. */
export interface PendingInput<T = unknown> {
  /** The number of the input in the room, from 1. */
  readonly number: number;
  /** What was sent. */
  readonly data: T;
}

/** What a membership keeps of its inputs. */
export interface Inputs {
  /** The number of the last one. */
  _last: number;
  _pending: PendingInput[];
  /** The number of a message, and that of the input up to which it and those after it include them; both grow. An answer
   * holds when the application has taken that message: until then its values do not include the inputs. */
  _answers: [seq: number, number: number][];
}

/** Inputs that are kept: eight seconds at 30 a second. A client that is so far behind predicts nothing any more. */
const MOST = 256;

/** What the id of an input begins with; its number follows. */
const INPUT = "i-";

export const newInputs = (): Inputs => ({ _last: 0, _pending: [], _answers: [] });

const push = <T>(list: T[], item: T): void => {
  list.push(item);
  if (list.length > MOST) list.shift();
};

/** Notes an input that was sent. Beyond the limit the oldest is forgotten. */
export function sent(inputs: Inputs, data: unknown): number {
  push(inputs._pending, { number: ++inputs._last, data });
  return inputs._last;
}

/** The message `seq` of the room, and those after it, include the inputs up to a number. */
export const processed = (inputs: Inputs, number: number, seq: number): void => push(inputs._answers, [seq, number]);

/** The inputs that are not in the messages up to a number. */
export function pendingAt(inputs: Inputs, seq: number): PendingInput[] {
  while (inputs._answers[0] && inputs._answers[0][0] <= seq) {
    const [, number] = inputs._answers.shift()!;
    inputs._pending = inputs._pending.filter((one) => one.number > number);
  }
  return [...inputs._pending];
}

/** An error answers an input: it is not pending any more. Returns whether it was. */
export function refused(inputs: Inputs | undefined, re: string): boolean {
  const place = inputs?._pending.findIndex(({ number }) => INPUT + number == re) ?? -1;
  if (place >= 0) inputs!._pending.splice(place, 1);
  return place >= 0;
}

/** The session was lost: the server processes none of the inputs from before. Numbers go on. */
export function dropInputs(inputs: Inputs | undefined): void {
  if (inputs) [inputs._pending, inputs._answers] = [[], []];
}

/** Sends an input to a room. */
export function sendInput(core: Core, room: Room, data: unknown): number {
  const inputs = (room._inputs ??= newInputs());
  const number = inputs._last + 1;
  say(core, { type: "input", id: INPUT + number, room: room.name, payload: { number, data } });
  return sent(inputs, data);
}

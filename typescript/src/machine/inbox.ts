// The messages to this client alone. One counts as processed when the next one is asked for.
import type { Machine } from "./machine";
import { createQueue, pop, put, release } from "./queue";
import type { Message } from "../message";
import type { Source } from "../stream";

export interface Inbox extends Source {
  /** A message has come. With `ack` it wants an acknowledgement. */
  _put(message: Message, ack: boolean, now: number): void;
}

export function createInbox(machine: Machine, limit: number): Inbox {
  const queue = createQueue(limit, "");
  return {
    _take(now) {
      // The notes are the ids of messages that want an acknowledgement.
      if (queue._hand?._note) machine.processed(queue._hand._note);
      release(queue, now);
      return pop(queue)?._message;
    },
    _put(message, ack, now) {
      const { _total, _size } = machine;
      for (const dropped of put(queue, message, _total, _size, (ack && message.id) || "", now))
        if (dropped) machine.dropped(dropped);
    },
  };
}

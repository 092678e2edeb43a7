// A machine, its time, and the server's side by hand: no connection, no clock.
import { json } from "../../build/codec.js";
import { performOfRoom, take } from "../../build/machine/feeds.js";
import { createInbox } from "../../build/machine/inbox.js";
import { createMachine } from "../../build/machine/machine.js";

export class ByHand {
  /** @param options of the machine; `limit`: messages that may wait in a room. */
  constructor({ limit = 16_384, ...options } = {}) {
    this.now = 1000;
    this.ids = 0;
    this.told = [];
    this.machine = createMachine({ codec: json, name: "c", random: () => 0.5, ...options });
    Object.assign(this.machine, { _limit: limit, _perform: () => this.perform() });
    this.inbox = createInbox(this.machine, limit);
    this.machine.start();
  }

  /** Does the pending actions of the rooms; returns all. */
  perform() {
    const done = [];
    for (let actions; (actions = this.machine.take()).length; )
      for (const action of actions) {
        done.push(action);
        if (action.type == "told") this.inbox._put(action.message, action.ack, this.now);
        else if (action.room) performOfRoom(this.machine, action, this.now, (room) => this.told.push(room));
      }
    return done;
  }

  hear(type, fields = {}) {
    this.machine.received(JSON.stringify({ type, id: `s${++this.ids}`, ts: 1, ...fields }), this.now, () => {});
    return this.perform();
  }

  /** A connection with its welcome. */
  up(payload = {}) {
    this.machine.opened(this.now);
    const actions = this.hear("welcome", { payload: { session: "S", resumed: false, received: 0, ...payload } });
    return Object.assign(this, { welcome: actions });
  }

  /** The server lets the client in. */
  letIn(room, key, payload = {}, seq = 0) {
    return this.hear("joined", { room, seq, re: key ?? undefined, payload: { epoch: "e", ...payload } });
  }

  /** Joins a room and is let in; returns it. */
  join(room, payload, seq) {
    const joined = this.machine.join(room, null);
    this.letIn(room, joined._joinKey, payload, seq);
    return joined;
  }

  message(room, seq, fields = {}) {
    return this.hear("message", { room, seq, payload: seq, ...fields });
  }

  /** What the application takes of a room. */
  take(room) {
    return take(room, this.now);
  }

  /** What the application takes, until nothing waits. */
  takeAll(source) {
    const messages = [];
    for (let message; (message = this.take(source)); ) messages.push(message);
    return messages;
  }
}

/** The documents of the frames that were sent. */
export const sent = (actions) => actions.filter(({ type }) => type == "send").map(({ frame }) => JSON.parse(frame));

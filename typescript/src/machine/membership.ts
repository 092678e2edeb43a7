// What follows from each message about one room. It decides what the application gets; `rooms.ts` sends.
import { act, type Core } from "./core";
import { isLatest } from "./feeds";
import { takeValue } from "./values";
import { arrived, excuse, giveUpNumbers, isWhole, positionOf, postpone, startAt } from "./positions";
import { setRates } from "./rates";
import { Unreadable, type Envelope } from "../codec";
import { check, seqOf, wrong } from "../fields";
import { gapOf, joint, Message, RELIABLE, type Gap } from "../message";
import { KEYED } from "../table";
import { Behind, type Room } from "../room";

export type { Room as Membership };

const enum Limit {
  /** Messages kept of a room that the server has joined of its own accord, until the own join is answered: rarely more than
   * come in one round trip. */
  OFFERED = 1024,
}

/** Whether a full queue keeps new messages from the stream. */
const isHeld = ({ _behind }: Room): boolean => _behind == Behind.FULL || _behind == Behind.HAS_PLACE;

/** The server has joined a room. */
export function joined(core: Core, room: Room, envelope: Envelope, now: number): void {
  const shape = { recovered: false, filtered: false, delivery: RELIABLE, delta: false, reason: "", count: 0, last: 0, repair: "" };
  const info = check(envelope.payload, { epoch: "" }, shape);
  const { epoch, delivery, snapshot, filtered: _isFiltered } = info;
  const members = info.members === undefined ? null : new Map<string, unknown>();
  for (const member of (info.members as unknown[]) ?? [])
    members!.set(check(member, { id: "" }).id, (member as { info?: unknown }).info ?? null);
  const seq = seqOf(envelope);
  const before = positionOf(room);
  const wasBehind = room._behind;
  const wasLatest = isLatest(room);
  const isFirst = !room.delivery;
  const isOther = before?.epoch != epoch || isWhole(room) != isWhole({ delivery, _isFiltered });
  let asked = room._asked;
  let gap: Gap | undefined;
  room._joinedAt = now;
  room._upto = 0;
  if (isHeld(room)) asked = room._asked = before;
  // It begins with messages that the room has kept.
  const after = info.after as number;
  if (info.recovered && !asked && after >= 0) asked = room._asked = { epoch, seq: after };
  // A reliable room with a full queue is a member again, or still. Its stream goes on later, from where it was.
  if (!isHeld(room) || delivery != RELIABLE) {
    if (snapshot !== undefined) room.snapshot = snapshot;
    room._behind = Behind.NOT;
    room._isBroken = false;
    if (info.recovered && epoch == asked?.epoch) {
      if (isOther) startAt(room, epoch, asked.seq);
      room._upto = room._vouched = seq;
      // The missing numbers come now, or never.
      for (const missing of room._missing) missing._isAsked = true;
      postpone(room, now);
    } else {
      // The numbering has begun anew, or values may have been forgotten while we were not there.
      // A new room has had more messages than it could keep for its members.
      if (!before && !asked && info.reason && after >= 0) asked = { epoch, seq: after };
      if (before && (before.epoch != epoch || (wasLatest && !room._isIn))) asked = room._asked = before;
      if (asked) {
        const isSame = epoch == asked.epoch;
        const reason = wasBehind && isSame ? "slow" : info.reason || (isSame ? "history" : "epoch");
        gap = gapOf(reason, asked.seq, seq, snapshot ?? null);
      }
      startAt(room, epoch, seq);
    }
    // Newest values always come, behind this answer: keys may have been forgotten.
    if (!KEYED.includes(delivery)) {
      const hasMissed = epoch != asked?.epoch || seq != asked.seq;
      if (!hasMissed) gap = undefined;
      // Nothing has come in place of what was missed, or nothing was.
      if (!hasMissed || (!info.recovered && snapshot === undefined)) info.repair = "";
    }
    if (wasBehind) act(core, { type: "caught_up", room });
  }
  room._joinKey = undefined;
  room._isIn = true;
  room._isRefreshing = room._lacksValue = false;
  room._values = info.delta ? (room._values ?? new Map()) : undefined;
  room._retries = 0;
  room._offered = [];
  const position = positionOf(room)!;
  // Later the messages determine the application's position, since some of them may still wait.
  if (isFirst) Object.assign(room, position);
  Object.assign(room, {
    delivery,
    _isFiltered,
    members,
    replayed: room._upto && info.last,
    repair: info.repair || null,
    // A server that counts fewer than it lists is wrong; a server that gives no count has listed all members.
    count: members && Math.max(info.count, members.size),
  });
  setRates(room, envelope.payload);
  room._waiting._isLatest = isLatest(room);
  if (room._isClaimed) room._waiting._drops = delivery;
  act(core, { type: "joined", room, value: position });
  if (gap) missed(core, room, gap);
}

/** The client's own join was refused. Returns whether the server had joined the room by itself. */
export function takeOffer(core: Core, room: Room, now: number): boolean {
  const [offer, ...messages] = room._offered;
  if (!offer) return false;
  joined(core, room, offer, now);
  for (const envelope of messages) message(core, room, envelope, now);
  return true;
}

/** A message of the room has come. Returns whether the application gets it. */
export function message(core: Core, room: Room, envelope: Envelope, now: number): unknown {
  const seq = seqOf(envelope);
  if (!room._isIn) {
    // Messages over the limit are noticed as missing when the next one comes.
    if (room._offered[0] && room._offered.length <= Limit.OFFERED) room._offered.push(envelope);
    return;
  }
  if (room._behind) return;
  // The answer to the next join has a value that is not here.
  const isMissing = room._values && !takeValue(room._values, envelope, seq);
  if (isMissing) room._lacksValue = true;
  const prev = envelope.prev! >= 0 && envelope.prev! < seq ? envelope.prev : undefined;
  if (room._isBroken) {
    // The stream goes on here. What was missed before cannot be had.
    room._isBroken = false;
    const since = positionOf(room)!;
    const upto = prev ?? seq - 1;
    if (upto > since.seq) {
      startAt(room, since.epoch, upto);
      missed(core, room, gapOf("slow", since.seq, upto));
    }
  }
  if (!arrived(room, seq, now, prev) || isMissing) return;
  if (envelope.payload instanceof Unreadable) return missed(core, room, gapOf("unreadable", seq - 1, seq));
  act(core, { type: "deliver", room, value: messageOf(core, envelope, seq, room._gap) });
  room._gap = null;
  return true;
}

/** The application's message of an envelope. */
export const messageOf = (core: Core, envelope: Envelope, seq: number | null, gap: Gap | null): Message =>
  new Message(
    {
      data: envelope.payload ?? null,
      room: envelope.room ?? null,
      seq,
      id: envelope.id ?? null,
      time: envelope.ts || null,
      key: envelope.key ?? null,
      prev: envelope.prev ?? null,
      gap: gap ?? null,
      isForgotten: envelope.type == "forgotten",
    },
    core,
  );

/** The server reports messages that it does not deliver. */
export function skipped(core: Core, room: Room, envelope: Envelope): void {
  const { reason, count, first, last } = check(envelope.payload, { reason: "", count: 0, first: 0, last: 0 });
  if (count < 0 || first < 1 || last < first) wrong("skipped");
  if (!room._isIn) return;
  act(core, { type: "skipped", room, value: { reason, count, first, last } });
  const isExcluded = reason == "excluded";
  if (!room._behind) excuse(room, first, last);
  // This message is asked for later. A `prev` that explains an earlier hole counts at once.
  else if (isExcluded) excuse(room, first, Math.min(last, room._highest));
  if (room._behind || isExcluded) return;
  // The newest value of a key may be among them, and nothing else would bring it.
  const isValueLost = isLatest(room) && ["oldest", "newest", "budget"].includes(reason);
  room._lacksValue ||= isValueLost;
  if (isValueLost || room.delivery == RELIABLE) missed(core, room, gapOf(reason, first - 1, last));
}

/** A member joined or left. */
export function member(core: Core, room: Room, { type, seq, payload }: Envelope): void {
  const { id, info = null } = check(payload, { id: "" });
  if (!room._isIn) return;
  // Whether or not it has used a number, no message with that number is missing.
  if (seq! > 0 && !room._behind) excuse(room, seq!, seq!);
  const isHere = type == "member_joined";
  // The server reports members only to clients that may see them, and has sent those a list.
  const members = (room.members ??= new Map());
  const before = members.size;
  if (isHere) members.set(id, info);
  else members.delete(id);
  // The count includes members that were not listed.
  room.count = Math.max(members.size, (room.count ?? 0) + (isHere ? members.size - before : -1));
  act(core, { type: "member", room, value: { id, info, isHere } });
}

/** The missing messages cannot be had: tells the application, and continues the stream. */
export function giveUp(core: Core, room: Room): void {
  if (isHeld(room)) return;
  if (room._behind) {
    room._behind = Behind.NOT;
    room._isBroken = true;
    act(core, { type: "caught_up", room });
  } else if (room._isRefreshing) {
    room._isRefreshing = false;
    missed(core, room, gapOf("unhealed", 0, room._highest));
  } else lose(core, room, Infinity);
}

/** Gives up what was asked for in vain until now. */
export function lose(core: Core, room: Room, now: number): void {
  for (const { _first, _last } of giveUpNumbers(room, now)) missed(core, room, gapOf("unhealed", _first - 1, _last));
}

/** Messages are missing. A message has one gap: from the start of the first to the end of the last. */
function missed(core: Core, room: Room, gap: Gap): void {
  room._gap = joint(room._gap, gap);
  act(core, { type: "gap", room, value: gap });
}

// Messages that have come and that the application has not taken: of one room, or to this client alone.
//
// The queue knows up to which count of the session everything is taken. A newer value that replaces an older one keeps its
// place and its count, so everything behind it is not taken either.
import { gapOf, joint, type Gap, type Message } from "../message";
import { RELIABLE } from "../message";

const enum Limit {
  /** Bytes of the messages that wait, as they came. One message is always taken. */
  BYTES = 8 << 20,
}

/** A message that waits. */
export interface Item {
  _message: Message;
  _size: number;
  /** The session's count before it, and the bytes of all that had come before. */
  _count: number;
  _before: number;
  /** What `put` was given, for `pop`. */
  _note: string;
  _at: number;
}

/** A bounded queue of messages. */
export interface Queue {
  /** Messages that may wait. */
  _limit: number;
  /** Which message goes when the queue is full: with "reliable" none, see `isOver`; with "drop-newest" the one that comes;
   * else the oldest. */
  _drops: string;
  /** Whether a newer value replaces the waiting one with the same key. */
  _isLatest?: boolean;
  /** So many times its limits it may have before the oldest is dropped; undefined: 1. */
  _times?: number;
  /** Whether keys were dropped over the limits, so that all newest values are to come again. */
  _lacksValues?: boolean;
  /** The time of the newest message that the application has taken, and when it was taken. */
  _time?: number;
  _timeAt: number;
  _items: Item[];
  /** The values that a newer one replaces. */
  _byKey: Map<string | null, Item>;
  /** The message that the application works on. */
  _hand?: Item;
  _bytes: number;
  /** The count of the last message that has come, the bytes of all, and the last note. */
  _count: number;
  _before: number;
  _note?: string;
  /** The gaps before the oldest and after the newest waiting message. */
  _lost: Gap | null;
  _unput: Gap | null;
}

/** Returns an empty queue. */
export const createQueue = (limit: number, drops: string): Queue => ({
  _limit: limit,
  _drops: drops,
  _timeAt: 0,
  _items: [],
  _byKey: new Map(),
  _bytes: 0,
  _count: 0,
  _before: 0,
  _lost: null,
  _unput: null,
});

/** Whether more waits than so many times the limits. */
export const isOver = ({ _items: { length }, _limit, _bytes }: Queue, times = 1): boolean =>
  length > times * _limit || (length > 1 && _bytes > times * Limit.BYTES);

/** The count (`_count`) and the bytes (`_before`) up to which all messages are taken or dropped. */
export const taken = (queue: Queue): { _count: number; _before: number } => queue._hand ?? queue._items[0] ?? queue;

/** Counts so many bytes that came and are not queued: they are taken when everything before them is. */
export function pass(queue: Queue, count: number, size: number): void {
  queue._count = count;
  queue._before += size;
}

/**
 * Adds a message; returns the notes of the messages that were dropped for it. A message replaces only values with the
 * same note.
 */
export function put(queue: Queue, message: Message, count: number, size: number, note: string, now: number): string[] {
  const { _items, _byKey, _drops, _before } = queue;
  const item = { _message: message, _size: size, _count: count - 1, _before, _note: note, _at: now };
  const key = queue._isLatest ? message.key : null;
  pass(queue, count, size);
  // What waits was there before the gap. It stays, so that the application sees what comes after the gap after all that
  // came before.
  if (message.gap || note != queue._note) _byKey.clear();
  queue._note = note;
  const place = _byKey.get(key);
  if (place) {
    message.gap = place._message.gap;
    queue._bytes -= place._size;
    Object.assign(place, { ...item, _count: place._count, _before: place._before });
  } else if (
    _drops == "drop-newest" &&
    _items[0] &&
    (_items.length >= queue._limit || queue._bytes + size > Limit.BYTES)
  ) {
    queue._unput = lost(queue._unput, message);
    return [note];
  } else {
    message.gap = joint(queue._unput, message.gap);
    queue._unput = null;
    _items.push(item);
    if (key != null) _byKey.set(key, item);
  }
  queue._bytes += size;
  const dropped: string[] = [];
  while (_drops != RELIABLE && isOver(queue, queue._times)) {
    const { _message, _note } = shift(queue)!;
    queue._lost = lost(queue._lost, _message);
    if (queue._isLatest && _message.key != null) queue._lacksValues = true;
    dropped.push(_note);
  }
  return dropped;
}

/** Returns the oldest message with its note; undefined: none waits. The one before must be released. */
export function pop(queue: Queue): Item | undefined {
  const item = (queue._hand = shift(queue));
  if (item) {
    item._message.gap = joint(queue._lost, item._message.gap);
    queue._lost = null;
  }
  return item;
}

/** Counts the message in hand, if any, as taken at this time. */
export function release(queue: Queue, now: number): void {
  const hand = queue._hand;
  queue._hand = undefined;
  if (hand?._message.time != null) {
    queue._time = hand._message.time;
    queue._timeAt = now;
  }
}

const isValue = ({ _message: { key, isForgotten } }: Item): boolean => key != null && !isForgotten;

/** Whether the oldest waiting message is a value of a key that came before this time. */
export const hasValueBefore = ({ _items: [first] }: Queue, time: number): boolean =>
  !!first && first._at < time && isValue(first);

/** Drops the newest values of keys, because they come again. Forgotten keys and messages without a key stay. */
export function dropValues(queue: Queue): void {
  let gap = queue._lost;
  queue._lost = null;
  queue._byKey.clear();
  queue._items = queue._items.filter((item) => {
    const { _message } = item;
    gap = joint(gap, _message.gap);
    if (isValue(item)) {
      queue._bytes -= item._size;
      return false;
    }
    _message.gap = gap;
    gap = null;
    return true;
  });
  queue._unput = gap;
}

/** What was dropped, with one more message. Messages without numbers are counted. */
function lost(gap: Gap | null, { seq, gap: before }: Message): Gap {
  if (seq == null) return gapOf("slow", null, null, null, (gap?.count ?? 0) + 1);
  return gapOf("slow", (gap ?? before)?.after ?? seq - 1, Math.max(gap?.upto ?? 0, seq));
}

function shift(queue: Queue): Item | undefined {
  const item = queue._items.shift();
  if (item) {
    const { key } = item._message;
    queue._bytes -= item._size;
    if (queue._byKey.get(key) == item) queue._byKey.delete(key);
  }
  return item;
}

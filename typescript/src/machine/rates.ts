// What the client gets of a room: the fields of `join` and `configure`.
import type { Filter, Position, RoomRates } from "../message";
import type { Room } from "../room";

/** The payload of a `configure`. Fields that are not given stay as they are; null takes a limit away.
 * @throws RangeError: a rate is no number above 0. */
export const fieldsOf = ({ maxRate, maxBytes, filter }: RoomRates): Record<string, unknown> => ({
  max_rate: checked(maxRate),
  max_bytes: checked(maxBytes),
  filter,
});

/** The payload of a join. A member keeps its rates: the answer to another `configure` may be under way. Only the
 * application's own join (`isFirst`) begins with older messages. */
export function joinPayload(
  { _isIn, _wishes: { last, repair } = {}, maxRate, maxBytes, filter }: Room,
  since: Position | null,
  isFirst: boolean,
): object | undefined {
  const payload: Record<string, unknown> = {};
  if (!_isIn && maxRate) payload.max_rate = maxRate;
  if (!_isIn && maxBytes) payload.max_bytes = maxBytes;
  if (!_isIn && filter) payload.filter = filter;
  if (since) payload.since = since;
  if (since && repair) payload.repair = repair;
  if (!since && last && isFirst) payload.last = last;
  return Object.keys(payload).length ? payload : undefined;
}

/** Whether these rates are the room's, as far as they are given. */
export const isSame = (room: Room, { maxRate, maxBytes, filter }: RoomRates): boolean =>
  (maxRate == null || maxRate == room.maxRate) &&
  (maxBytes == null || maxBytes == room.maxBytes) &&
  (filter == null || JSON.stringify(filter) == JSON.stringify(room.filter));

/** The server says what holds. */
export function setRates(room: Room, payload: unknown): void {
  const { max_rate, max_bytes, filter } = (payload ?? {}) as Record<string, unknown>;
  room.maxRate = typeof max_rate == "number" ? max_rate : null;
  room.maxBytes = typeof max_bytes == "number" ? max_bytes : null;
  // `joined` does not say it.
  if (filter !== undefined) room.filter = filter as Filter | null;
}

function checked(rate: number | null | undefined): number | null | undefined {
  if (rate != null && !(rate > 0)) throw new RangeError("a rate must be a number above 0");
  return rate;
}

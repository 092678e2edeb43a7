// Reads the members of a room, which a server lists page by page. Reading ends, whatever a server answers.
import { RequestFailed } from "../errors";
import { check } from "../fields";
import { MEMBERS_LISTED } from "../table";

const enum Limit {
  /** Members that are read unless the caller says otherwise: ten pages. */
  MEMBERS = 10_000,
}

/** Sends a presence request with this payload, and returns that of the reply. */
export type AskPresence = (payload: unknown) => Promise<unknown>;

/**
 * The members by id, in the order in which they joined, up to a limit.
 * @throws RequestFailed: the server refuses, or its answer cannot be read.
 */
export async function readMembers(ask: AskPresence, limit: number = Limit.MEMBERS): Promise<Map<string, unknown>> {
  const members = new Map<string, unknown>();
  let after = "";
  let before;
  do {
    before = members.size;
    const page = await pageOf(ask, after, limit - before);
    for (const { id, info } of page.members as { id: string; info?: unknown }[])
      if (members.size < limit) members.set(id, info ?? null);
    after = page.next;
    // A page without anything new is the last, whatever the server says of a next one.
  } while (after && members.size > before && members.size < limit);
  return members;
}

/**
 * How many members there are.
 * @throws RequestFailed: as above.
 */
export const countMembers = async (ask: AskPresence): Promise<number> => (await pageOf(ask, "", 1)).count;

async function pageOf(ask: AskPresence, after: string, limit: number) {
  const answer = await ask({ after: after || undefined, limit: Math.min(limit, MEMBERS_LISTED) });
  try {
    const page = check(answer, { count: 0 }, { members: [] as unknown[], next: "" });
    page.members.map((member) => check(member, { id: "" }));
    return page;
  } catch (error) {
    throw new RequestFailed("unreadable", `${error}`);
  }
}

// What a client does on a close code.
import { RECONNECT, RECONNECT_RANGE } from "./table";

/** Whether a client that got this close code connects again. */
export const shouldReconnect = (code: number): boolean =>
  RECONNECT.includes(code) || (code >= RECONNECT_RANGE[0] && code <= RECONNECT_RANGE[1]);

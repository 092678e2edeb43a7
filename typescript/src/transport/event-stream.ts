// Reads an event stream (WHATWG HTML, "Server-sent events") piece by piece: a body of SSE, or of a poll. Pure.

/** Characters of an event that has not come to its end: as many as the Python client takes. */
const MAX = 64 << 20;

/**
 * Returns a function that takes the next piece of text. Comments and fields without a meaning for a session are ignored.
 * @param onEvent gets the data and the name of each event, "" for none.
 * @throws RangeError from the returned function: an event is too large.
 */
export function eventStream(onEvent: (data: string, name: string) => void): (text: string) => void {
  let rest = "";
  let data: string[] = [];
  let name = "";
  let size = 0;
  return (text) => {
    // A CR at the end may be half of a CR LF.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    size += text.length;
    for (const line of lines) {
      const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line)!;
      if (!line) {
        if (data.length) onEvent(data.join("\n"), name);
        data = [];
        name = "";
        size = rest.length;
      } else if (field == "data") data.push(value!);
      else if (field == "event") name = value!;
    }
    if (size > MAX) throw new RangeError("an event is too large");
  };
}

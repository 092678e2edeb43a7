// A network that can be cut. A client that is given this WebSocket and this fetch loses every byte of a cut, in both
// directions, as with a cable that is pulled out: open connections are lost, new ones fail, and the server is told nothing.

export class Cable {
  #isCut = false;
  #losses = new Set();

  // For connect(): { WebSocket, fetch }.
  get network() {
    const cable = this;
    return {
      WebSocket: class {
        constructor(url, protocols) {
          return cable.#isCut ? new Refused() : cable.#socket(url, protocols);
        }
      },
      fetch: (input, init) => this.#fetch(input, init),
    };
  }

  get isCut() {
    return this.#isCut;
  }

  cut() {
    this.#isCut = true;
    for (const lose of this.#losses) lose();
    this.#losses.clear();
  }

  // The network is back. A browser says so to its pages, and clients try at once.
  mend() {
    this.#isCut = false;
    dispatchEvent(new Event("online"));
  }

  #socket(url, protocols) {
    const socket = new WebSocket(url, protocols);
    let isLost = false;
    // These listeners are the first ones: what comes after the cut reaches no other.
    for (const type of ["open", "message", "error", "close"]) {
      socket.addEventListener(type, (event) => {
        if (isLost && event.isTrusted) event.stopImmediatePropagation();
        else if (type === "close") this.#losses.delete(lose);
      });
    }
    const lose = () => {
      isLost = true;
      socket.send = socket.close = () => {};
      Object.defineProperty(socket, "readyState", { value: WebSocket.CLOSED });
      // What a browser says of a lost connection. The server ends the old one when the session goes on over another.
      socket.dispatchEvent(new CloseEvent("close", { code: 1006 }));
    };
    this.#losses.add(lose);
    return socket;
  }

  async #fetch(input, init = {}) {
    const failure = new TypeError("the network is cut");
    if (this.#isCut) throw failure;
    const end = new AbortController();
    const lose = () => end.abort(failure);
    init.signal?.addEventListener("abort", () => end.abort(init.signal.reason));
    this.#losses.add(lose);
    try {
      const response = await fetch(input, { ...init, signal: end.signal });
      // The body of an event stream has no length: it lasts, and a cut ends it.
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) this.#losses.delete(lose);
      return response;
    } catch (error) {
      this.#losses.delete(lose);
      throw error;
    }
  }
}

// A WebSocket of a dead network: it fails at once.
class Refused extends EventTarget {
  readyState = 0;
  bufferedAmount = 0;
  protocol = "";

  constructor() {
    super();
    setTimeout(() => {
      this.readyState = 3;
      for (const event of [new Event("error"), new CloseEvent("close", { code: 1006 })]) {
        this.dispatchEvent(event);
        this["on" + event.type]?.(event);
      }
    });
  }

  send() {}

  close() {}
}

// Hooks for React. Components that use the same room share one membership, which outlives a component that is mounted
// again at once (as in StrictMode).
import { createContext, createElement, type ReactNode, useContext, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { Client, FanwireError, Member, Message, Position, Room, State, Transport } from "./index";

const Context = createContext<Client | null>(null);

/**
 * Gives the client to the hooks of all components in it. The application makes the client, and closes it.
 *
 * ```jsx
 * const client = connect("wss://example.org");
 * createRoot(element).render(<FanwireProvider client={client}><App /></FanwireProvider>);
 * ```
 */
export const FanwireProvider = ({ client, children }: { client: Client; children?: ReactNode }) =>
  createElement(Context.Provider, { value: client }, children);

/** The client of the nearest `FanwireProvider`. */
export function useClient(): Client {
  const client = useContext(Context);
  if (!client) throw new Error("useClient needs a FanwireProvider around the component");
  return client;
}

/** The connection, for a line that says whether what is shown is live. */
export function useConnection(): { state: State; isOpen: boolean; error: FanwireError | null; transport: Transport | null } {
  const client = useClient();
  const state = useSyncExternalStore(
    (changed) => client.on("state", changed),
    () => client.state,
    () => client.state,
  );
  const transport = useSyncExternalStore(
    (changed) => client.on("transport", changed),
    () => client.transport,
    () => client.transport,
  );
  return { state, isOpen: state == "open", error: client.error, transport };
}

/** What `useRoom` takes. */
export interface RoomOptions {
  /** The newest messages to keep. Default: 100; 0: none, for a component that uses `onMessage` only. */
  keep?: number;
  /** Gets each message. It may be another function at each rendering. */
  onMessage?: (message: Message) => unknown;
  /** The position to continue from, for the component that joins first. */
  since?: Position | null;
}

/** What `useRoom` returns. */
export interface RoomView {
  /** null: it is not joined yet. */
  room: Room | null;
  /** The newest messages, oldest first. */
  messages: readonly Message[];
  /** In a room of latest values: the newest value of each key. */
  values: ReadonlyMap<string, unknown>;
  /** Why the room was not joined, or has ended; null: neither. */
  error: Error | null;
}

/**
 * A room, joined as long as a component uses it. Messages that come together lead to one rendering.
 *
 * ```jsx
 * const { messages } = useRoom("chat", { keep: 50 });
 * return <ul>{messages.map((message) => <li key={message.seq}>{message.data.text}</li>)}</ul>;
 * ```
 */
export function useRoom(name: string, { keep = 100, onMessage, since }: RoomOptions = {}): RoomView {
  const client = useClient();
  const [view, setView] = useState(EMPTY);
  const latest = useRef(onMessage);
  latest.current = onMessage;
  useEffect(() => {
    const messages: Message[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const shared = use(client, name, since);
    const show = () => {
      timer = undefined;
      const { room, error, values } = shared;
      setView({ room, error, messages: messages.slice(), values: new Map(values) });
    };
    const offMessage = shared.listen((message) => {
      if (!message) return show();
      messages.push(message);
      if (messages.length > keep) messages.shift();
      timer ??= setTimeout(show, FRAME);
      return latest.current?.(message);
    });
    show();
    return () => {
      clearTimeout(timer);
      offMessage();
    };
    // `since` is for the first join only.
  }, [client, name, keep]);
  return view;
}

/**
 * The members of a room with presence, which is joined as long as a component uses it.
 *
 * ```jsx
 * const { count } = usePresence("chat");
 * ```
 */
export function usePresence(name: string): { members: ReadonlyMap<string, unknown>; count: number } {
  const { room } = useRoom(name, QUIET);
  const [, changed] = useState({});
  useEffect(() => {
    // One may have come before this.
    changed({});
    return room?.on("member", (_: Member) => changed({}));
  }, [room]);
  return { members: room?.members ?? new Map(), count: room?.count ?? 0 };
}

// Inside.

const EMPTY: RoomView = { room: null, messages: [], values: new Map(), error: null };
const QUIET = { keep: 0 };
/** Milliseconds from a message to the rendering: a frame of the screen. */
const FRAME = 16;
/** Milliseconds for which a room that no component uses stays joined: the next page may use it, too. */
const LINGER = 500;

/** The reasons of gaps after which the server sends nothing again. */
const FINAL_REASONS = ["unreadable", "unhealed"];

type Listener = (message?: Message) => unknown;

/** One room that components use. */
interface Shared {
  room: Room | null;
  error: Error | null;
  values: Map<string, unknown>;
  /** Adds a component; returns the function that removes it. */
  listen(listener: Listener): () => void;
}

const all = new WeakMap<Client, Map<string, Shared>>();

function use(client: Client, name: string, since: Position | null | undefined): Shared {
  let rooms = all.get(client);
  if (!rooms) all.set(client, (rooms = new Map()));
  return rooms.get(name) ?? share(client, name, since, rooms);
}

function share(client: Client, name: string, since: Position | null | undefined, rooms: Map<string, Shared>): Shared {
  const listeners = new Set<Listener>();
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tell = () => listeners.forEach((listener) => listener());
  const fail = (error: Error) => {
    if (rooms.get(name) == shared) rooms.delete(name);
    shared.error = error;
    tell();
  };
  const shared: Shared = {
    room: null,
    error: null,
    values: new Map(),
    listen(listener) {
      clearTimeout(timer);
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
        if (!listeners.size) timer = setTimeout(leave, LINGER);
      };
    },
  };
  const leave = () => {
    if (rooms.get(name) == shared) rooms.delete(name);
    abort.abort();
    shared.room?.leave().catch(() => {});
  };
  rooms.set(name, shared);
  client.join(name, { since, signal: abort.signal }).then((room) => {
    shared.room = room;
    tell();
    room.on("message", (message) => {
      const { key, data } = message;
      // With any other reason the newest values of all keys follow.
      if (message.gap && !FINAL_REASONS.includes(message.gap.reason)) shared.values.clear();
      if (message.isForgotten) shared.values.delete(key!);
      else if (key != null) shared.values.set(key, data);
      // One that fails is reported, and the others are called.
      return Promise.all([...listeners].map(async (listener) => listener(message)).map((called) => called.catch(console.error)));
    });
    room.on("end", fail);
  }, fail);
  return shared;
}

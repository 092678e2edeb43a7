// Runs the machine: its actions, its timers, one link at a time, and sometimes a second one that is about to take over.
import { stored } from "./browser";
import type { Frame } from "./codec";
import type { Action } from "./machine/actions";
import type { Machine } from "./machine/machine";
import { polled } from "./machine/session";
import type { Settings } from "./options";
import { now, timer } from "./timers";
import { chooser } from "./transport/chooser";
import { openFallback } from "./transport/fallback";
import { ABNORMAL, type Dialling, type Link, type OnEnd, type Query, type Transport } from "./transport/link";
import { openWebSocket } from "./transport/websocket";

/** Milliseconds without a sign of life after which a probed connection is lost, unless its round trips take longer. */
const PROBE = 1000;
/** Milliseconds after a link was given up in which the server may still take it for the newest one. */
const LATECOMER = 15_000;
/** Milliseconds between two attempts of a page that the browser says is offline. It may be wrong: localhost is there. */
const OFFLINE = 60_000;
/** Milliseconds for a better link: meanwhile the server may have let go of the present one. */
const UPGRADE = 3000;

const OPEN: Record<Transport, (dialling: Dialling) => Link> = {
  websocket: openWebSocket,
  sse: openFallback("sse"),
  "long-poll": openFallback("long-poll"),
};
/** The session goes on. */
const RECONNECT = 4000;
/** Another connection uses the session. */
const TAKEN = 4503;
/** The server's own refusals, which another transport does not change. */
const REFUSALS = [401, 403, 429, 503];
const NO_SIGN = "no sign of life";

interface Live {
  _transport: Transport;
  _link?: Link;
  /** Milliseconds from the attempt to the welcome: two round trips at least. */
  _took: number;
}

export interface Driver {
  /** Does all pending actions of the machine. */
  _perform(): void;
  /** The transport of the present link, or of the last; null: there was none. */
  _transport: Transport | null;
  /** The session goes on over this transport. */
  _switchTo(transport: Transport): Promise<void>;
  /** Something has changed: the connection may be dead, and an attempt may succeed. */
  _wake(isOnline?: boolean): void;
  /** The page is put aside, so that there is no connection from now on; or it is back. */
  _suspend(isSuspended: boolean): void;
  /** Closes everything. */
  _finish(): void;
}

/**
 * @param act does an action that is not about the connection.
 * @param performed all pending actions are done.
 * @param onTransport another transport is in use.
 */
export function createDriver(
  machine: Machine,
  settings: Settings,
  act: (action: Action) => void,
  performed: () => void,
  onTransport: (transport: Transport) => void,
): Driver {
  const { _openTimeout, _isRenewable, _fetchToken } = settings;
  const memory = "fanwire:" + settings._host;
  const choice = chooser(
    settings._transports,
    _openTimeout,
    Math.random,
    stored("localStorage", (storage) => storage[memory]),
  );
  let live: Live | null = null;
  let isPerforming = false;
  let isSuspended = false;
  // What the machine has asked for, until a link is there; and what ends the delay or the attempt that is under way.
  let wanted: Query | null = null;
  let stopDial: () => unknown = () => {};
  let isDelayed = false;
  // Ends the attempt to move to another link; null: there is none.
  let stopUpgrade: (() => void) | null = null;
  let upgrading: Promise<unknown> | undefined;
  let stopUpgradeTimer = () => {};
  let stopAlarm = () => {};
  let alarmAt = Infinity;
  let stopProbe: (() => void) | null = null;
  let heardAt = 0;
  let abandonedAt = -LATECOMER;

  const driver: Driver = {
    _transport: null,
    _perform: perform,
    async _switchTo(transport) {
      if (!settings._transports.includes(transport)) throw new RangeError("not among the transports of this client");
      const pin = () => choice._pin(transport);
      if (live?._transport != transport) return upgrade(transport, _openTimeout, pin);
      pin();
      stopUpgradeTimer();
    },
    _wake(isOnline) {
      if (isDelayed || (isOnline && wanted)) dial();
      else if (live) {
        probe(live);
        if (isOnline && choice._upgradeAt < Infinity) tryUpgrade();
      }
    },
    _suspend(isIt) {
      if (isIt == isSuspended) return;
      isSuspended = isIt;
      if (live) lose(RECONNECT, "the page is put aside");
      else dial();
    },
    _finish() {
      machine.close();
      stopDial();
      drop(1000);
      machine.lost(ABNORMAL, "", now());
      perform();
      stopAlarm();
    },
  };
  return driver;

  // The machine.

  function perform(): void {
    // Called from within a callback: the loop below does these actions, too.
    if (isPerforming) return;
    isPerforming = true;
    for (let actions; (actions = machine.take())[0]; ) actions.forEach(performOne);
    isPerforming = false;
    performed();
    const { deadline } = machine;
    // Each message puts the heartbeat off; a timer that rings too early costs less than one set anew every time.
    if (deadline < alarmAt) {
      stopAlarm();
      alarmAt = deadline;
      stopAlarm = timer(deadline - now(), () => {
        alarmAt = Infinity;
        machine.tick(now());
        perform();
      });
    }
  }

  function performOne(action: Action): void {
    const { type } = action;
    if (type == "send") live?._link!._send(action.frame);
    else if (type == "connect") {
      drop(RECONNECT);
      wanted = action.query as Query;
      delay(action.delay);
    } else if (type == "drop") drop(action.code, action.reason);
    else if (type == "close") {
      stopDial();
      stopUpgrade?.();
      wanted = null;
      live?._link!._close(action.code);
    } else if (type == "renew") {
      if (_isRenewable)
        _fetchToken()
          .then((token) => machine.renewed(token!))
          .catch(() => machine.renewalFailed(now()))
          .then(perform);
    } else act(action);
  }

  // The present link.

  function use(next: Live): void {
    const transport = next._transport;
    wanted = null;
    live = next;
    if (choice._worked(transport, now())) stored("localStorage", (storage) => (storage[memory] = transport));
    setUpgradeTimer();
    if (driver._transport != transport) onTransport((driver._transport = transport));
  }

  function drop(code: number, reason?: string): void {
    stopUpgrade?.();
    stopUpgradeTimer();
    stopProbe?.();
    const old = live;
    live = null;
    old?._link!._drop(code, reason);
  }

  /** The present link is lost. A server may take a link late that was given up, as the newest one of the session. */
  function lose(code: number, reason: string): void {
    const isOvertaken = code == TAKEN && now() - abandonedAt < LATECOMER;
    drop(RECONNECT);
    if (isOvertaken) machine.overtaken(now());
    else machine.lost(code, reason, now());
    perform();
  }

  function probe(which: Live): void {
    if (stopProbe) return;
    const asked = now();
    which._link!._send(settings._codec.encode({ type: "ping" }));
    const stop = timer(Math.max(PROBE, 2 * which._took), () => {
      stopProbe!();
      if (which == live && heardAt < asked) lose(ABNORMAL, NO_SIGN);
    });
    stopProbe = () => {
      stop();
      stopProbe = null;
    };
  }

  // Other links.

  /** Makes one attempt. Returns the function that gives it up, unless the link is open. */
  function attempt(
    transport: Transport,
    query: Query,
    limit: number,
    onOpen: (frame: Frame) => void,
    onFailure: OnEnd,
  ): () => unknown {
    const began = now();
    const one: Live = { _transport: transport, _took: 0 };
    let isOpen = false;
    let isOver = false;
    let stop = () => {};
    const end: OnEnd = (code, ...why) => {
      if (isOver) return;
      giveUp();
      if (!isOpen) onFailure(code, ...why);
      else if (one == live) {
        // Perhaps taken by the other link, whose welcome is on its way: a poll or a POST then finds its link gone, and has
        // no code. Or taken by one that was given up.
        if ((code == TAKEN || code == ABNORMAL) && stopUpgrade) live = null;
        else lose(code, why[0]);
      }
    };
    const giveUp = () => {
      isOver = true;
      stop();
      if (!isOpen && one._link) {
        abandonedAt = now();
        one._link._drop(RECONNECT);
      }
    };
    _fetchToken()
      .then((_token) => {
        if (isOver) return;
        stop = timer(limit, () => end(ABNORMAL, `no answer within ${limit} ms`));
        one._link = OPEN[transport]({
          ...settings,
          _query: { ...query, ...(settings._codec.split && { batch: "1" }), delta: "1" },
          _token,
          _received: async () => {
            await upgrading;
            return polled(machine);
          },
          _onBytes() {
            if (one == live) machine.heard((heardAt = now()));
          },
          _onFrame(frame) {
            if (isOver) return;
            heardAt = now();
            if (!isOpen) {
              isOpen = true;
              stop();
              one._took = heardAt - began;
              const old = live;
              onOpen(frame);
              use(one);
              old?._link!._drop(RECONNECT);
            }
            if (one == live) machine.received(frame, heardAt, perform);
            perform();
          },
          _onEnd: end,
        });
      })
      // The application's function for tokens has failed, or a page of https may not open ws.
      .catch((error) => end(ABNORMAL, "" + error));
    return () => isOpen || giveUp();
  }

  function delay(ms: number): void {
    stopDial();
    isDelayed = true;
    const stop = timer(ms, dial);
    stopDial = () => {
      isDelayed = false;
      stop();
    };
  }

  /** Tries one transport after the other. */
  function dial(): void {
    stopDial();
    if (isSuspended || !wanted) return;
    const query = wanted;
    const round = choice._round();
    // An answer says more than that there was none.
    let answer: Parameters<OnEnd> | undefined;
    const next = () => {
      const [transport, limit] = round.shift()!;
      stopDial = attempt(
        transport,
        query,
        limit,
        () => machine.opened(now()),
        (...why) => {
          const [code, , status] = why;
          if (status || !answer?.[2]) answer = why;
          if (code != ABNORMAL) answer = why;
          else if (round[0] && !REFUSALS.includes(status!)) return next();
          failed(...answer);
        },
      );
    };
    const failed: OnEnd = (code, reason, status, after) => {
      choice._failed();
      if (!status && globalThis.navigator?.onLine === false && machine.state == "reconnecting") return delay(OFFLINE);
      wanted = null;
      if (status) machine.refused(status, after ?? null, now());
      else machine.lost(code, reason, now());
      perform();
    };
    next();
  }

  function setUpgradeTimer(): void {
    stopUpgradeTimer();
    if (choice._upgradeAt < Infinity) stopUpgradeTimer = timer(choice._upgradeAt - now(), tryUpgrade);
  }

  function tryUpgrade(): void {
    upgrade("websocket", Math.min(UPGRADE, _openTimeout)).catch(() => {
      choice._upgradeFailed(now());
      if (live) setUpgradeTimer();
    });
  }

  /** Moves the session to another transport, while the present link goes on. `onOpen`: it works. */
  async function upgrade(transport: Transport, limit: number, onOpen = () => {}): Promise<void> {
    const query = !stopUpgrade && machine.switching();
    if (!query) throw new Error("the client is not open, or switches already");
    const switched = new Promise<void>((done, fail) => {
      const over: OnEnd = (code, reason) => {
        stopUpgrade = null;
        giveUp();
        fail(new Error(reason));
        // The server may have let go of the old link already. Without a code the old link is lost, which is told next.
        if (code && live) machine.stayed(now());
        else if (code) machine.lost(ABNORMAL, reason, now());
        perform();
      };
      const opened = () => {
        stopUpgrade = null;
        machine.switched(now());
        onOpen();
        done();
      };
      const giveUp = attempt(transport, query as Query, limit, opened, over);
      stopUpgrade = () => over(0, "the connection was lost");
    });
    upgrading = switched.catch(() => {});
    return switched;
  }
}

// A link by WebSocket.
import type { Dialling, Link } from "./link";

export function openWebSocket(to: Dialling): Link {
  const protocols = [to._codec.subprotocol];
  // Browsers can set no header. Parentheses cannot stand in a subprotocol (RFC 9110, token).
  if (to._token) protocols.push("fanwire.token." + encodeURIComponent(to._token).replace(/[()]/g, escape));
  // The third argument is for the package `ws`; others ignore it.
  const socket: WebSocket = new (to._WebSocket as any)(to._url("ws", to._query), protocols, { headers: to._headers });
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => to._onFrame(typeof data == "string" ? data : new Uint8Array(data));
  // It says nothing, and `close` follows.
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }) => to._onEnd(code, reason);
  // Browsers may send 1000 and codes from 3000 on, and a reason of 123 bytes.
  const close = (code: number, reason = "") => socket.close(code < 3000 ? 1000 : code, reason.slice(0, 40));
  return {
    _send(frame) {
      // What comes after a close is sent again over the next link.
      if (socket.readyState == 1) socket.send(frame as any);
    },
    _close: close,
    _drop: close,
  };
}

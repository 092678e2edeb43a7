// The second panel: a chat room whose network can be cut.

import { connect } from "/fanwire.js";
import { Cable } from "./cable.js";
import { plural } from "./format.js";
import { Numbers } from "./numbers.js";
import { watch } from "./state.js";

const byId = (id) => document.getElementById(id);
const CUT = 5; // seconds
const LINES = 60; // that are kept on the page

export function startChat() {
  const cable = new Cable();
  const name = `Visitor-${100 + Math.floor(Math.random() * 900)}`;
  const numbers = new Numbers();
  let room = null, cutAt = 0, meanwhile = 0, report = byId("report").textContent;

  // #region chat
  const client = connect(location.origin, {
    token: name, ...cable.network,
  });
  async function talk() {
    room = await client.join("chat");
    room.on("member", showMembers);
    showMembers();
    // It goes on after a cut.
    for await (const message of room) {
      numbers.take(message);
      show(message);
    }
  }
  const say = (text) => client.publish("chat", { name, text });
  // #endregion

  function showMembers() {
    const names = [...(room?.members?.values() ?? [])].map((info) => info?.name ?? "a guest").sort();
    byId("members").replaceChildren(...names.map((text) => {
      const item = document.createElement("li");
      item.textContent = text === name ? `${text} (you)` : text;
      return item;
    }));
    byId("member-count").textContent = plural(room?.count ?? 0, "person", "people") + " here";
  }

  function show(message) {
    const isLate = cutAt && message.time >= cutAt && message.time < cutAt + CUT * 1000;
    if (isLate) meanwhile++;
    const line = document.createElement("li");
    line.className = (isLate ? "late " : "") + (message.data.name === name ? "mine" : "");
    const parts = ["#" + message.seq, message.data.name, message.data.text].map((text, n) => {
      const part = document.createElement(["i", "b", "span"][n]);
      part.textContent = text;
      return part;
    });
    line.append(...parts);
    if (isLate) line.append(Object.assign(document.createElement("em"), { textContent: "written during the cut" }));
    const lines = byId("lines");
    const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    lines.append(line);
    while (lines.childElementCount > LINES) lines.firstChild.remove();
    if (isAtEnd) lines.scrollTop = lines.scrollHeight;
  }

  byId("cut").onclick = () => {
    cutAt = Date.now();
    meanwhile = 0;
    cable.cut();
    byId("cut").disabled = true;
    setTimeout(() => {
      cable.mend();
      byId("cut").disabled = false;
    }, CUT * 1000);
  };

  byId("say").onsubmit = async (event) => {
    event.preventDefault();
    const text = byId("text").value.trim();
    if (!text) return;
    byId("text").value = "";
    byId("sent").textContent = "It is sent when the network is back.";
    try {
      await say(text);
      byId("sent").textContent = "";
    } catch (error) {
      byId("sent").textContent = `Not sent: ${error.message}`;
    }
  };

  watch(client, byId("chat"));
  talk().catch((error) => (byId("sent").textContent = `The room has ended: ${error.message}`));

  return {
    write() {
      const left = Math.max(1, Math.ceil((cutAt + CUT * 1000 - Date.now()) / 1000));
      byId("cut").textContent = cable.isCut ? `Cut for ${plural(left, "second")}` : "Cut my network";
      if (cable.isCut) report = "The network of this panel is cut. The others go on writing.";
      else if (cutAt && client.state !== "open") report = "The network is back. The client reconnects.";
      else if (cutAt) report = `${plural(meanwhile, "line was", "lines were")} written during the cut. All of them are here.`;
      if (numbers.missing) report = `${plural(numbers.missing, "line is", "lines are")} missing.`;
      if (byId("report").textContent !== report) byId("report").textContent = report;
      byId("came").textContent = numbers.came;
      byId("missing").textContent = numbers.missing;
      byId("double").textContent = numbers.double;
    },
  };
}

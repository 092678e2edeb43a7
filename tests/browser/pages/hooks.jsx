// What a page of React does: it shows the newest message of the feed, who is in the lobby, and the connection.
import { connect } from "fanwire";
import { FanwireProvider, useConnection, usePresence, useRoom } from "fanwire/react";
import { createElement as make } from "react";
import { createRoot } from "react-dom/client";

const client = (window.client = connect(new URLSearchParams(location.search).get("url")));

function Page() {
  const { state } = useConnection();
  const feed = useRoom("feed");
  const lobby = usePresence("lobby");
  const newest = feed.messages.at(-1);
  return make("p", null, `${state} ${newest ? newest.data.n : "nothing"} ${lobby.count}`);
}

createRoot(document.body.appendChild(document.createElement("div"))).render(make(FanwireProvider, { client }, make(Page)));

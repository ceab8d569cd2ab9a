/** Entry point: creates the conversations and renders the page. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./index.css";
import { Conversations } from "./lib/conversations/conversations.ts";

const url = new URL("/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");

const conversations = new Conversations(url.href);
addEventListener("pagehide", () => conversations.saveAll());

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
createRoot(root).render(
  <StrictMode>
    <App conversations={conversations} />
  </StrictMode>,
);

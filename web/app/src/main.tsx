/** Makes the one client of the page, connects it and shows it. */

import { MayflyClient } from "@mayfly/client";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import "./index.css";

const url = new URL("/ws", location.href);
url.protocol = url.protocol.replace("http", "ws");

const client = new MayflyClient({ url: url.href });
client.connect();

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root");
}
createRoot(root).render(
  <StrictMode>
    <App client={client} />
  </StrictMode>,
);

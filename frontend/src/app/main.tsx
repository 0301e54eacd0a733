// Where the board begins: the address is read, the endpoints are settled, the page is drawn.
import "@mantine/core/styles/baseline.css";
import "@mantine/core/styles/default-css-variables.css";
import "@mantine/core/styles/global.css";
import "@mantine/core/styles/Popover.css";
import "./theme.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { takeToken } from "@/lib/endpoints";
import { currentPage } from "@/lib/url";
import { App } from "./App";
import { loadPage } from "./pages";

takeToken();
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no element `root`");
// The first page is there before anything is drawn; its files were asked for together with this one.
await loadPage(currentPage());
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

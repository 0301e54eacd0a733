import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin, type Rollup } from "vite";

const outDir = process.env.MLBOARD_OUT ?? "../src/mlgym/board";

/** Tells `public/start.js` which files each page needs, so that they are asked for together with the first one. */
function pages(): Plugin {
  return {
    name: "mlboard-pages",
    transformIndexHtml: {
      order: "post",
      handler: (html, { bundle }) => html.replace("%PAGES%", bundle === undefined ? "" : filesOfPages(bundle)),
    },
  };
}

function filesOfPages(bundle: Rollup.OutputBundle): string {
  const chunks = Object.values(bundle).filter((one) => one.type === "chunk");
  const byFile = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const entry = chunks.find((chunk) => chunk.isEntry);
  const needed = (file: string, found: Set<string>): Set<string> => {
    const chunk = byFile.get(file);
    if (chunk === undefined || found.has(file) || file === entry?.fileName || entry?.imports.includes(file) === true) return found;
    found.add(file);
    for (const one of chunk.imports) needed(one, found);
    for (const style of chunk.viteMetadata?.importedCss ?? []) found.add(style);
    return found;
  };
  return chunks.flatMap((chunk) => {
    const page = /features\/(\w+)\/components\/\w+Page\.tsx$/.exec(chunk.facadeModuleId ?? "")?.[1];
    return page === undefined || !chunk.isDynamicEntry ? [] : [`${page}:${[...needed(chunk.fileName, new Set())].join(" ")}`];
  }).join(";"); // prettier-ignore
}

export default defineConfig({
  base: "./",
  plugins: [react(), pages()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  worker: { format: "es" },
  build: {
    outDir,
    emptyOutDir: true,
    target: "es2022",
    // A polyfill would be an inline script, and a data URL an exception in the content security policy.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // What several pages need is small: one file of it is sooner there than ten.
        codeSplitting: { groups: [{ name: "parts", test: /src.(lib|components(?!.(chart|grid)))|tabler/, minShareCount: 2 }] },
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/socket.io": { target: "http://127.0.0.1:8080", ws: true } } },
});

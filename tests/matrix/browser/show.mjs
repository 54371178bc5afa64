// Shows a room in a browser as a person would see it: waits for words and pictures, then takes a picture.
// Usage: node show.mjs HOMESERVER USER PASSWORD ROOM PICTURE.png WORDS…
// Prints what stands in the room. Chromium is found as WXGATE_CHROMIUM or on the PATH.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import CDP from "chrome-remote-interface";
import { build } from "esbuild";

const PATIENCE_MS = 90_000;
const [homeserver, user, password, room, picture, ...words] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const types = {
  ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
  ".wasm": "application/wasm", ".json": "application/json",
};

const bundle = await build({
  entryPoints: [join(here, "page.js")], bundle: true, format: "esm", write: false, logLevel: "error",
  // A library of its own asks for them where there is no browser.
  external: ["crypto", "fs", "path"],
});
const page = bundle.outputFiles[0].contents;

async function file(path) {
  const clean = normalize(path);
  if (clean === "/") return [await readFile(join(here, "page.html")), ".html"];
  if (clean === "/page.js") return [page, ".js"];
  if (clean === "/sw.js") return [await readFile(join(modules, "hydrogen-view-sdk/lib-build/sw.js")), ".js"];
  if (clean.startsWith("/assets/")) {
    return [await readFile(join(modules, "hydrogen-view-sdk/asset-build", clean)), extname(clean)];
  }
  if (clean.startsWith("/olm/")) {
    return [await readFile(join(modules, "@matrix-org", clean)), extname(clean)];
  }
  throw new Error("no such file");
}

const server = createServer(async (request, response) => {
  try {
    const [bytes, extension] = await file(new URL(request.url, "http://x").pathname);
    response.writeHead(200, { "content-type": types[extension] ?? "application/octet-stream" });
    response.end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise(done => server.listen(0, "127.0.0.1", done));
const { port } = server.address();

const profile = await mkdtemp(join(tmpdir(), "wxgate-browser-"));
const browser = spawn(process.env.WXGATE_CHROMIUM ?? "chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
  `--user-data-dir=${profile}`, "--window-size=900,1400", "about:blank",
], { stdio: ["ignore", "ignore", "pipe"] });
const debug = await new Promise((done, fail) => {
  let said = "";
  browser.on("exit", code => fail(new Error(`chromium ended with ${code}: ${said}`)));
  browser.stderr.on("data", data => {
    said += data;
    const found = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(said);
    if (found) done(Number(found[1]));
  });
});

let code = 1;
let client;
try {
  const address = new URL(`http://127.0.0.1:${port}/`);
  for (const [key, value] of Object.entries({ homeserver, user, password, room })) {
    address.searchParams.set(key, value);
  }
  client = await CDP({ port: debug });
  const { Page, Runtime } = client;
  await Promise.all([Page.enable(), Runtime.enable()]);
  await Page.navigate({ url: address.href });
  const look = async () => {
    const expression = `(() => {
      const pictures = [...document.querySelectorAll(".Timeline img, .Timeline video")];
      const isLoaded = picture => picture.tagName === "VIDEO" ? picture.poster !== "" : picture.naturalWidth > 0;
      return JSON.stringify({
        state: document.body?.dataset.state ?? "",
        text: document.querySelector(".Timeline")?.innerText ?? "",
        title: document.querySelector(".RoomHeader, .middle-header")?.innerText ?? "",
        pictures: pictures.filter(isLoaded).length, waiting: pictures.filter(p => !isLoaded(p)).length,
      });
    })()`;
    const { result } = await Runtime.evaluate({ expression });
    return JSON.parse(result.value);
  };
  const end = Date.now() + PATIENCE_MS;
  let seen = await look();
  const misses = () => words.filter(word => !seen.text.includes(word) && !seen.title.includes(word));
  while (misses().length > 0 || seen.waiting > 0) {
    if (seen.state.startsWith("failed")) throw new Error(seen.state);
    if (Date.now() > end) throw new Error(`not shown: ${misses().join(", ")}; ${JSON.stringify(seen)}`);
    await new Promise(done => setTimeout(done, 250));
    seen = await look();
  }
  const { data } = await Page.captureScreenshot({ format: "png" });
  await writeFile(picture, Buffer.from(data, "base64"));
  console.log(JSON.stringify(seen));
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  await client?.close();
  browser.removeAllListeners("exit");
  const ended = new Promise(done => browser.on("exit", done));
  browser.kill();
  await ended;
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(code);

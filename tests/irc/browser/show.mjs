// Shows the channels of an account in The Lounge, a web client that others wrote, in a headless browser: waits for
// words, says some, and takes a picture.
// Usage: node show.mjs HOST:PORT NICK PASSWORD CHANNEL PICTURE.png SAY WORDS…
// Prints what stands in the channel. Chromium is found as WXGATE_CHROMIUM or on the PATH.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import CDP from "chrome-remote-interface";

const PATIENCE_MS = 60_000;
const [irc, nick, password, channel, picture, say, ...words] = process.argv.slice(2);
const [host, port] = irc.split(":");
const here = dirname(fileURLToPath(import.meta.url));
const home = await mkdtemp(join(tmpdir(), "wxgate-lounge-"));

const free = () => new Promise(done => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});
const webPort = await free();
await writeFile(join(home, "package.json"), '{"type":"commonjs"}');
await writeFile(join(home, "config.js"), `module.exports = ${JSON.stringify({
  public: true, host: "127.0.0.1", port: webPort, messageStorage: [], prefetch: false, theme: "default",
  leaveMessage: "seen", lockNetwork: false, fileUpload: { enable: false },
  defaults: {
    name: "WeChat", host, port: Number(port), password, tls: false, rejectUnauthorized: false, nick, username: nick,
    realname: "A person with a browser", leaveMessage: "seen", join: "",
  },
})};`);

const children = [];
function start(program, args, env, ready) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  children.push(child);
  return new Promise((done, fail) => {
    let said = "";
    child.on("exit", code => fail(new Error(`${program} ended with ${code}: ${said}`)));
    const hear = data => {
      said += data;
      const found = ready.exec(said);
      if (found) done(found);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
  });
}

let code = 1;
let client;
try {
  await start(process.execPath, ["-r", join(here, "claim.cjs"), join(here, "node_modules/thelounge/index.js"), "start"],
    { THELOUNGE_HOME: home }, /Available at/);
  const [, debug] = await start(process.env.WXGATE_CHROMIUM ?? "chromium", [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
    `--user-data-dir=${join(home, "browser")}`, "--window-size=1200,800", "about:blank",
  ], {}, /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//);
  client = await CDP({ port: Number(debug) });
  const { Page, Runtime } = client;
  await Promise.all([Page.enable(), Runtime.enable()]);
  await Page.navigate({ url: `http://127.0.0.1:${webPort}/` });
  const run = async expression => (await Runtime.evaluate({ expression, returnByValue: true })).result.value;
  const until = async (what, expression) => {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = await run(expression);
      if (found) return found;
      if (Date.now() > end) throw new Error(`waited in vain for ${what}: ${await run("document.body.innerText")}`);
      await new Promise(done => setTimeout(done, 200));
    }
  };
  await until("the form", `document.querySelector("#connect form button[type=submit]") !== null`);
  await run(`document.querySelector("#connect form button[type=submit]").click()`);
  const item = `document.querySelector('.channel-list-item[data-name=${JSON.stringify(channel)}]')`;
  await until("the channel", `${item} !== null`);
  await run(`${item}.click()`);
  const text = `document.querySelector("#chat .chat-view .messages")?.innerText ?? ""`;
  console.log("READY");
  for (const word of words) await until(word, `(${text}).includes(${JSON.stringify(word)})`);
  await until("the line to type in", `document.querySelector("#input") !== null`);
  await run(`(() => {
    const input = document.querySelector("#input");
    Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(input, ${JSON.stringify(say)});
    input.dispatchEvent(new Event("input", { bubbles: true }));
    document.querySelector("#submit").click();
  })()`);
  await until("what was typed", `(${text}).includes(${JSON.stringify(say)})`);
  const users = await run(`[...document.querySelectorAll(".userlist .user")].map(user => user.innerText)`);
  const { data } = await Page.captureScreenshot({ format: "png" });
  await writeFile(picture, Buffer.from(data, "base64"));
  console.log(JSON.stringify({ text: await run(text), users }));
  code = 0;
} catch (error) {
  console.error(error.message);
} finally {
  await client?.close().catch(() => {});
  for (const child of children) child.removeAllListeners("exit").kill();
  await rm(home, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
}
process.exit(code);

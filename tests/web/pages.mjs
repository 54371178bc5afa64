// Leads a browser through the pages as a person with a keyboard would, and takes pictures on the way.
// Usage: node pages.mjs PLAN.json, where the plan says: web, control, user, admin, password, twin, link, sound, door, pictures.
// Prints what it saw as JSON. Chromium is found as WXGATE_CHROMIUM or on the PATH.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import CDP from "chrome-remote-interface";

const PATIENCE_MS = 60_000;
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 360, height: 740 };
const plan = JSON.parse(await readFile(process.argv[2], "utf8"));
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
await mkdir(plan.pictures, { recursive: true });

const profile = await mkdtemp(join(tmpdir(), "wxgate-pages-"));
const browser = spawn(process.env.WXGATE_CHROMIUM ?? "chromium", [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
  `--user-data-dir=${profile}`, "--lang=en", "about:blank",
], { stdio: ["ignore", "ignore", "pipe"] });
const port = await new Promise((done, fail) => {
  let said = "";
  browser.on("exit", code => fail(new Error(`chromium ended with ${code}: ${said}`)));
  browser.stderr.on("data", data => {
    said += data;
    const found = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(said);
    if (found) done(Number(found[1]));
  });
});

const client = await CDP({ port });
const { Page, Runtime, Input, Emulation, Network } = client;
const seen = { pictures: [], findings: [], complaints: [], firstPage: null };

async function evaluate(expression) {
  const { result, exceptionDetails } = await Runtime.evaluate({ expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(`${expression.slice(0, 80)}: ${exceptionDetails.exception?.description}`);
  return result.value;
}

// Asks again until it is so: a page follows what happens elsewhere.
async function until(what, expression) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    // While one page gives way to the next there is nobody to ask.
    const value = await evaluate(expression).catch(() => undefined);
    if (value) return value;
    if (Date.now() > end) {
      const text = await evaluate("document.body.innerText").catch(String);
      throw new Error(`waited in vain for ${what}; the page says: ${text}`);
    }
    await new Promise(done => setTimeout(done, 50));
  }
}

const words = text => until(text, `document.body?.innerText.includes(${JSON.stringify(text)})`);

async function open(path) {
  await Promise.all([Page.loadEventFired(), Page.navigate({ url: new URL(path, plan.web).href })]);
}

async function focus(selector) {
  await until(selector, `!!document.querySelector(${JSON.stringify(selector)})`);
  await evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
  const has = await evaluate(`document.activeElement === document.querySelector(${JSON.stringify(selector)})`);
  assert(has, `${selector} takes no focus`);
}

async function press(key, code, text) {
  await Input.dispatchKeyEvent({ type: "keyDown", key, windowsVirtualKeyCode: code, text });
  await Input.dispatchKeyEvent({ type: "keyUp", key, windowsVirtualKeyCode: code });
}

// Everything is reached by the keyboard.
async function activate(selector) {
  await focus(selector);
  await press("Enter", 13, "\r");
}

async function type(selector, text) {
  await focus(selector);
  await Input.insertText({ text });
}

// Follows a link or sends a form, and waits for the page that comes.
async function go(selector) {
  const loaded = Page.loadEventFired();
  await activate(selector);
  await loaded;
}

// Words in Latin letters that a page in Chinese may say: names of things, what is typed as it stands, and what people
// are called.
const NAMES = new Set(["wxgate", "WeChat", "Matrix", "IRC", "API", "TLS", "SASL", "EXTERNAL", "SHA", "UTC", "JavaScript",
  "MiB", "login", "read", "write", "direct", "default", "http", "https", "socks", "account", "second", "irc", "local",
  "wechat", "nowhere", plan.user, plan.admin]);
const wordsOf = text => text.match(/[A-Za-z][A-Za-z'-]{2,}/g) ?? [];

// What somebody is called, or says, is no word of ours.
async function learn() {
  const said = await evaluate(`[...document.querySelectorAll("tbody a, .card > h3, .card > h3 + p, .sides h3")].map(e => e.textContent)`);
  for (const text of said) wordsOf(text.replace("(unconfirmed)", "")).forEach(word => NAMES.add(word));
}

async function chinese(where) {
  const said = await evaluate(`(() => {
    const own = "code, pre, script, style, template, noscript, option, [lang=en]";
    const texts = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(own)) texts.push(walker.currentNode.data);
    for (const name of ["aria-label", "alt", "title"])
      for (const element of document.body.querySelectorAll("[" + name + "]")) texts.push(element.getAttribute(name));
    return texts;
  })()`);
  const foreign = said.flatMap(wordsOf).filter(word => !NAMES.has(word));
  if (foreign.length > 0) seen.complaints.push(`${where}: in a page in Chinese: ${[...new Set(foreign)].join(" ")}`);
}

async function look(name) {
  if (await evaluate("document.documentElement.lang") === "zh") await chinese(name);
  for (const [view, size] of [["wide", WIDE], ["narrow", NARROW]]) {
    for (const theme of ["light", "dark"]) {
      await Emulation.setDeviceMetricsOverride({ ...size, deviceScaleFactor: 1, mobile: view === "narrow" });
      await Emulation.setEmulatedMedia({ features: [{ name: "prefers-color-scheme", value: theme }] });
      if (view === "narrow") {
        const width = await evaluate("document.documentElement.scrollWidth");
        if (width > size.width) seen.complaints.push(`${name}: ${width} px wide on a screen of ${size.width}`);
      }
      await judge(`${name} ${view} ${theme}`);
      const { data } = await Page.captureScreenshot({ format: "png", captureBeyondViewport: true });
      const file = `${name}-${view}-${theme}.png`;
      await writeFile(join(plan.pictures, file), Buffer.from(data, "base64"));
      seen.pictures.push(file);
    }
  }
}

async function judge(where) {
  await evaluate(`${axe}; true`);
  const violations = await evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v => " +
    "({ id: v.id, impact: v.impact, at: v.nodes.map(n => n.target.join(' ')).slice(0, 3) })))");
  for (const violation of violations) {
    seen.findings.push({ where, ...violation });
    if (["serious", "critical"].includes(violation.impact)) {
      seen.complaints.push(`${where}: ${violation.impact} ${violation.id} at ${violation.at.join(", ")}`);
    }
  }
}

async function order(verb, body) {
  const answer = await fetch(new URL(`/_sim/${verb}`, plan.control), {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  assert(answer.ok, `${verb}: ${answer.status}`);
  return answer.json();
}

async function signIn(user, password) {
  await open("/");
  await type("input[name=user]", user);
  await type("input[name=password]", password);
  await go("main form button");
}

async function firstPage() {
  await open("/");
  seen.firstPage = await evaluate(
    "(() => { const n = performance.getEntriesByType('navigation')[0];" +
    " const all = [n, ...performance.getEntriesByType('resource')];" +
    " return { bytes: all.reduce((sum, e) => sum + e.transferSize, 0), ready_ms: n.domContentLoadedEventEnd,"  +
    " answer_ms: n.responseEnd - n.requestStart }; })()");
  assert(seen.firstPage.bytes <= 60 * 1024, `the first page has ${seen.firstPage.bytes} bytes`);
  await look("entrance");
  // The first stop of the keyboard leads past the head of the page.
  await press("Tab", 9);
  assert.equal(await evaluate("document.activeElement.className"), "skip");
}

async function follow() {
  await signIn(plan.user, "a wrong guess");
  await words("Wrong user or password");
  await look("wrong-password");
  await signIn(plan.user, plan.password);
  await words(plan.twin);
  await look("accounts");
  await type("input[name=name]", "second");
  await go("form[action='/accounts'] button");
  await until("a code", "!!document.querySelector('svg.qr')");
  await look("code");
  const [{ uuid }] = (await order("logins", {})).slice(-1);
  await order("scan", { uuid, account: "account1" });
  await words("Confirm on your phone");
  await until("the picture of whoever scanned", "document.images[0]?.naturalWidth > 0");
  await look("scanned");
  await order("fault", { account: "account1", endpoint: "webwxbatchgetcontact", fault: { delay_ms: 8000 }, count: 1 });
  await order("confirm", { uuid });
  await words("Contacts loaded: ");
  assert(await evaluate("!!document.querySelector('progress:not([value])')"), "a bar shows an end that nobody knows");
  await look("loading");
  await words("Online.");
  await look("online");
  await go("main a.button");
  await words("Chats");
  await until("chats", "document.querySelectorAll('tbody tr').length > 3");
  await look("chats");
  await type("input[name=q]", "no chat is called this");
  await go("form[role=search] button");
  await words("No chat has that in its title");
  await look("no-match");
}

async function settle() {
  await open(`/accounts/${plan.twin}`);
  await words("Who is this?");
  await until("the pictures of both sides", "[...document.querySelectorAll('.card img.face')].length > 1 &&" +
    " [...document.querySelectorAll('.card img.face')].every(i => i.complete && i.naturalWidth > 0)");
  await look("question");
  await learn();
  await go("nav a[hreflang=zh]");
  await words("这是谁");
  await words("最近一条消息");
  await until("the pictures of both sides", "[...document.querySelectorAll('.card img.face')].every(i => i.complete)");
  await look("question-zh");
  const chat = await evaluate("document.querySelector('.card img.face').getAttribute('src').replace('/face?', '/chat?')");
  await open(chat);
  await words("尚未确定这是谁");
  await look("chat-zh");
  await go("nav a[hreflang=en]");
  await words("it is not settled who this is");
  await go("main a");
  await words("Who is this?");
  await type("input[name=q]", "WWW");
  await go("form[role=search] button");
  await words("WWW");
  await look("long-name");
  await go(".sides form button");
  await words("Noted.");
  await look("answered");
  await go(".note button");
  await words("Undone");
  await open(chat);
  await words("Why it is taken for who it is");
  await look("chat");
  await go("main a");
  await words("I am new here");
  await look("friend-request");
  await go("form[action$='/requests'] button.quiet");
  await until("nobody who asks", "!document.body.innerText.includes('I am new here')");
  await go("nav form button");
  await until("the entrance", "!!document.querySelector('input[type=password]')");
  await open(`/accounts/${plan.twin}`);
  assert(!(await evaluate("document.body.innerText")).includes("Chats"), "still signed in");
}

async function yours() {
  await open(plan.door);
  await words("This link lets you in once.");
  await look("door");
  await go("main form button");
  await words(plan.twin);
  await open(plan.door);
  await words("This link was used already");
  await look("door-used");
  await open("/me");
  await type("input[name=label]", "a telephone");
  await go("form[action='/me/tokens'] > button");
  await words("This token is shown only now");
  await look("yours");
  await open("/links");
  await look("own-links");
  await go("nav form button");
}

// Whoever is at a link stays there while the page changes around it.
async function stay() {
  await signIn(plan.user, plan.password);
  await words(plan.twin);
  const table = await evaluate("document.querySelector('[data-live]').innerHTML");
  const row = name => `<tr><td><a href="/accounts/${name}">${name}</a></td><td></td><td>there</td></tr>`;
  const changed = table.replace("</td></tr>", " since long</td></tr>");
  const moved = changed.replace("<tbody>", `<tbody>${row("early")}`);
  assert(changed !== table && moved !== changed, table);
  let told = table;
  let asked = 0;
  await client.Fetch.enable({ patterns: [{ urlPattern: "*/live*" }] });
  const telling = client.Fetch.requestPaused(({ requestId }) => {
    asked += 1;
    return client.Fetch.fulfillRequest({
      requestId, responseCode: 200, responseHeaders: [{ name: "content-type", value: "text/event-stream" }],
      body: Buffer.from(`retry: 200\nevent: fragment\ndata: ${told}\n\n`).toString("base64"),
    });
  });
  await open("/");
  const link = `[data-live] a[href='/accounts/${plan.twin}']`;
  await focus(link);
  await evaluate(`window.was = document.querySelector(${JSON.stringify(link)}), true`);
  told = changed;
  await words("since long");
  assert(await evaluate("document.activeElement === window.was"), "a state that changes takes the keyboard away");
  assert(await evaluate("!!document.querySelector('tr[aria-live]') && !document.querySelector('[data-live][aria-live]')"));
  told = moved;
  await words("early");
  assert.equal(await evaluate("document.activeElement.getAttribute('href')"), `/accounts/${plan.twin}`);
  await look("stays");
  // In a tab that nobody looks at nothing is followed; who comes back sees how it is now.
  const hide = is => evaluate(`Object.defineProperty(document, "hidden", { value: ${is}, configurable: true }),
    document.dispatchEvent(new Event("visibilitychange"))`);
  await hide(true);
  const before = asked;
  told = changed.replace(" since long", " at last");
  await new Promise(done => setTimeout(done, 1000));
  assert.equal(asked, before, "a page that nobody sees holds a connection");
  await hide(false);
  await words("at last");
  telling();
  await client.Fetch.disable();
  await open("/");
  await go("nav form button");
}

// A page that is not followed any more says so, and what it says leads on.
async function lose() {
  await signIn(plan.user, plan.password);
  await words(plan.twin);
  await client.Fetch.enable({ patterns: [{ urlPattern: "*/live*" }] });
  const refusing = client.Fetch.requestPaused(({ requestId }) => client.Fetch.fulfillRequest({ requestId, responseCode: 401 }));
  await open("/");
  await words("may be out of date");
  await look("not-followed");
  await open(`/accounts/${plan.twin}`);
  await words("may be out of date");
  refusing();
  await client.Fetch.disable();
  await go("[role=status] a");
  await words("Chats");
  assert(!(await evaluate("document.body.innerText")).includes("may be out of date"), "what is followed is called old");
  // As from another window.
  await evaluate("fetch('/sign-out', { method: 'POST', body: new URLSearchParams(new FormData(document.querySelector('nav form'))) }).then(() => true)");
  await words("may be out of date");
  await go("[role=status] a");
  await until("the entrance", "!!document.querySelector('input[type=password]')");
}

async function attachment() {
  await open(plan.link);
  const size = await evaluate("document.images[0] && document.images[0].complete && document.images[0].naturalWidth");
  assert(size > 0, "the picture behind the link is not shown");
  await open(plan.sound);
  await until("the sound behind the link", "(document.querySelector('video, audio')?.readyState ?? 0) > 0");
}

async function administration() {
  await signIn(plan.admin, plan.password);
  await words("no WeChat account here yet");
  await look("empty");
  await open("/admin");
  await words(plan.twin);
  await look("administration");
  await go("main a[href='/admin/audit']");
  await words("token-made");
  await look("audit");
  await open(`/admin/accounts/${plan.twin}`);
  await words("Way to WeChat");
  await look("account-settings");
  await evaluate("document.querySelector(\"input[maxlength='16']\").value = '45'");
  await go("form:has(input[maxlength='16']) button");
  await until("the new rate", "!!document.querySelector(\"input[value='45']\")");
  await open("/admin/people");
  await type("form[action='/admin/people'][method=post] > p input[name=name]", "lina");
  await go("form[action='/admin/people'][method=post] > button");
  await words("shown only now");
  await look("people");
  await open("/admin/links");
  await words("Make a link");
  await look("links");
  await type("input[name=q]", "no such chat");
  await go("form[role=search] button");
  await words("Nothing to show");
  await type("input[name=one]", "irc:nowhere/#a");
  await type("input[name=two]", "irc:local/&b");
  await go("form[action='/admin/links'][method=post] > button");
  await words("there is no network irc:nowhere");
  await look("link-refused");
  await open("/nosuch");
  await look("not-found");
  await open("/accounts/nosuch");
  await look("no-account");
  await open("/admin");
  await go("nav a[hreflang=zh]");
  await words("管理");
  assert.equal(await evaluate("document.documentElement.lang"), "zh");
  await look("administration-zh");
  await open("/admin/links");
  await type("input[name=one]", "irc:nowhere/#a");
  await type("input[name=two]", "irc:local/&b");
  await go("form[action='/admin/links'][method=post] > button");
  await words("没有网络 irc:nowhere");
  await look("link-refused-zh");
  await open("/");
  await look("empty-zh");
  await go("nav form button");
  await words("登录");
  await look("entrance-zh");
}

let code = 1;
try {
  await Promise.all([Page.enable(), Runtime.enable(), Network.enable()]);
  Runtime.exceptionThrown(({ exceptionDetails }) => seen.complaints.push(`script: ${exceptionDetails.text}`));
  // The page that the browser itself makes around a picture is not ours, and its style is refused by design.
  client.on("Log.entryAdded", ({ entry }) => {
    if (entry.source === "security" && !entry.url?.includes("/media/")) seen.complaints.push(`${entry.url}: ${entry.text}`);
  });
  await client.Log.enable();
  await firstPage();
  await follow();
  await settle();
  await yours();
  await stay();
  await lose();
  await attachment();
  await administration();
  console.log(JSON.stringify(seen));
  code = seen.complaints.length === 0 ? 0 : 1;
  for (const complaint of seen.complaints) console.error(complaint);
} catch (error) {
  console.error(error.stack);
} finally {
  await client.close();
  const gone = new Promise(done => browser.once("exit", done));
  browser.removeAllListeners("exit");
  browser.on("exit", () => {});
  browser.kill();
  await Promise.race([gone, new Promise(done => setTimeout(done, 5000))]);
  await rm(profile, { recursive: true, force: true });
  process.exit(code);
}

// The page at /chat, as a person uses it. Arguments: the server, the browser, where pictures go, and an example for pages.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const [url, executablePath, pictures, example] = process.argv.slice(2);
const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const state = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();
const show = (page, name) => page.screenshot({ path: `${pictures}/${name}.png` });

async function send(page, model, text) {
  await page.getByLabel("Model").selectOption(model);
  await page.getByLabel("Message").fill(text);
  await page.keyboard.press("Enter");
}

async function an_answer_streams_and_is_stopped(page) {
  const frames = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => frames.push(JSON.parse(payload))));
  const answer = await page.goto(url + "/chat");
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self';/);
  assert.equal(answer.headers()["x-content-type-options"], "nosniff");
  await state(page, "connected");

  // What it offers are the models that chat.
  await page.getByLabel("Model").locator("option", { hasText: "sim-fast" }).waitFor({ state: "attached" });
  const models = await page.getByLabel("Model").locator("option").allTextContents();
  assert.ok(models.includes("sim-chat") && !models.includes("sim-embed"), String(models));

  await send(page, "sim-fast", "Hello, page");
  await page.getByText("You said: Hello, page").waitFor();
  await page.getByText(/sim\/sim-fast, \d+ tokens in, \d+ out/).waitFor();
  assert.equal(await page.locator(".turn").count(), 2);
  assert.ok(frames.some((frame) => frame.event === "queued"), "the wait is told");
  assert.ok(frames.filter((frame) => frame.event === "chat.delta").length > 1, "it streams");

  // What is said is text and nothing else.
  await send(page, "sim-fast", "<b>bold</b>\nsecond line");
  await page.getByText("You said: <b>bold</b>").waitFor();
  assert.equal(await page.locator("b").count(), 0, "a message is no markup");
  await show(page, "chat-light");

  // A long answer is stopped; what has come of it stays.
  await send(page, "sim-chat", "Tell me all you know about photomultipliers, from the first dynode to the last, without an end");
  await page.waitForFunction(() => document.querySelector(".busy p")?.textContent.length > 8);
  await show(page, "chat-streaming");
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("stopped", { exact: true }).waitFor();
  assert.match(await page.locator(".turn p").last().textContent(), /^You said/);

  // Dark where that is wished, narrow where there is no room, empty where a new conversation begins.
  await page.emulateMedia({ colorScheme: "dark" });
  await show(page, "chat-dark");
  await page.setViewportSize({ width: 390, height: 720 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `it is ${wide} wide`);
  await show(page, "chat-narrow");
  await page.getByRole("button", { name: "New" }).click();
  assert.equal(await page.locator(".turn").count(), 0);
}

async function a_broken_connection_goes_on_where_it_has_stopped(page) {
  // Between the page and the server: what both say, and a way to cut the line.
  const said = [], heard = [];
  let sockets = 0;
  await page.routeWebSocket(/\/ws$/, (line) => {
    const server = line.connectToServer();
    sockets += 1;
    let pieces = 0, open = true;
    line.onMessage((message) => {
      said.push(JSON.parse(message));
      server.send(message);
    });
    server.onMessage((message) => {
      if (!open) return;
      const frame = JSON.parse(message);
      heard.push(frame);
      line.send(message);
      pieces += frame.event === "chat.delta" ? 1 : 0;
      if (sockets === 1 && pieces === 3) {
        open = false;
        server.close();
        line.close({ code: 1011 });
      }
    });
  });
  await page.goto(url + "/chat");
  await state(page, "connected");
  await send(page, "sim-chat", "Say something that takes a while, so that the line can break");
  await page.getByText(/sim\/sim-chat, \d+ tokens in/).waitFor();
  assert.equal(sockets, 2, "one line broke, and one more was made");
  const requests = said.filter((frame) => frame.action === "chat.completion");
  assert.equal(requests.length, 1, "it was asked once");
  assert.equal(said.find((frame) => frame.action === "resume").id, requests[0].id);
  // What is shown is the answer, without a gap and without a repeat.
  const whole = heard.find((frame) => frame.event === "chat.complete").output.text;
  const pieces = heard.filter((frame) => frame.event === "chat.delta");
  assert.equal(pieces.map((frame) => frame.delta).join(""), whole);
  assert.equal(await page.locator(".turn p").nth(1).textContent(), whole);
}

async function a_key_is_asked_for_and_kept_in_the_tab(page) {
  // A server that lets nobody in without a key, as far as the page can see.
  let sockets = 0;
  await page.routeWebSocket(/\/ws$/, (line) => {
    sockets += 1;
    if (sockets === 1) line.close({ code: 1008 });
  });
  await page.route("**/v1/models", (route) => route.fulfill({ status: 401, json: { error: {} } }));
  await page.addInitScript(() => {
    window.offered = [];
    window.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        window.offered.push(protocols);
        super(url, protocols);
      }
    };
  });
  await page.goto(url + "/chat");
  await state(page, "a key is needed");
  await show(page, "chat-key");
  await page.getByLabel("API key").last().fill("dyn_live_secret");
  await page.keyboard.press("Enter");
  await state(page, "connected");
  const kept = await page.evaluate(() => ({
    offered: window.offered, tab: { ...sessionStorage }, disk: localStorage.length, cookie: document.cookie,
    typed: document.querySelector("#key").value, address: location.href,
  }));
  assert.deepEqual(kept.offered, [[], ["dynode", "dynode.key.dyn_live_secret"]]);
  assert.equal(kept.tab["dynode.key"], "dyn_live_secret");
  assert.deepEqual([kept.disk, kept.cookie, kept.typed], [0, "", ""]);
  assert.ok(!kept.address.includes("secret"));
}

async function the_example_works(page) {
  await page.goto(url + "/chat");
  const end = await page.evaluate(`new Promise((end, no) => {
    const key = "dyn_live_of_nobody";
    ${example}
    socket.addEventListener("message", ({ data }) => JSON.parse(data).event === "chat.complete" && end(JSON.parse(data)));
    socket.addEventListener("close", ({ code }) => no(new Error("closed: " + code)));
  })`);
  assert.equal(end.output.text, "You said: Hi");
}

const browser = await chromium.launch({ executablePath, args, headless: true });
try {
  for (const test of [
    an_answer_streams_and_is_stopped,
    a_broken_connection_goes_on_where_it_has_stopped,
    a_key_is_asked_for_and_kept_in_the_tab,
    the_example_works,
  ]) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 720 }, colorScheme: "light" });
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    await test(page);
    // Nothing in the page breaks its policy, or fails; that a key is missing is no fault of it.
    assert.deepEqual(complaints.filter((text) => !text.includes("401")), [], test.name);
    await context.close();
  }
} finally {
  await browser.close();
}

// Each refusal is the class of error that it is against the original, by the official SDK of OpenAI or of Anthropic for
// Node, and the SDK returns when it is told to.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [kind, url, good, narrow, busy] = process.argv.slice(2);
const messages = [{ role: "user", content: "Hello" }];
const isOpenAI = kind === "openai";
const sdk = isOpenAI ? OpenAI : Anthropic;

function client(apiKey, options) {
  const baseURL = isOpenAI ? `${url}/v1` : url;
  return new sdk({ baseURL, apiKey, maxRetries: 0, ...options });
}

function ask(to, body, options) {
  const asked = { model: "sim-fast", max_tokens: 100, messages, ...body };
  return isOpenAI ? to.chat.completions.create(asked, options) : to.messages.create(asked, options);
}

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "it was not refused" });
}

async function eachStatusIsItsClass() {
  const to = client(good);
  const taken = { headers: { "Idempotency-Key": `node-${kind}` } };
  await ask(to, {}, taken);
  const other = [{ role: "user", content: "something else" }];
  const failing = (fail) => (body) => ask(to, { simulate: { fail }, ...body });
  for (const [code, status, type, call] of [
    ["invalid_request", 400, sdk.BadRequestError, (body) => ask(to, { ...body, messages: [] })],
    ["unauthorized", 401, sdk.AuthenticationError, (body) => ask(client("dyn_live_abc"), body)],
    ["forbidden", 403, sdk.PermissionDeniedError, (body) => ask(client(narrow), { ...body, model: "sim-chat" })],
    ["not_found", 404, sdk.NotFoundError, (body) => ask(to, { ...body, model: "nobody" })],
    ["conflict", 409, sdk.ConflictError, (body) => ask(to, { ...body, messages: other }, taken)],
    ["provider_error", 502, sdk.InternalServerError, failing("provider_error")],
    ["provider_unavailable", isOpenAI ? 503 : 529, sdk.InternalServerError, failing("provider_unavailable")],
  ]) {
    for (const stream of [false, true]) {
      const error = await refused(() => call({ stream }));
      assert.ok(error instanceof type, `${code}: ${error}`);
      assert.equal(error.status, status);
      const told = isOpenAI ? error.code : error.error.error.details.error_code;
      assert.equal(told.replace(/^model_/, ""), code);
      assert.ok(error.requestID, "every answer has an id to ask about");
      assert.equal(error.requestID, error.headers.get("x-request-id"));
    }
  }
}

async function aLimitSaysWhenToReturnAndIsKeptTo() {
  const simulate = { tokens: 1000, tokens_per_second: 1, first_token_ms: 0 };
  const held = await ask(client(busy), { stream: true, simulate });
  let sent = 0;
  const counted = (...asked) => (sent++, fetch(...asked));
  const began = performance.now();
  const error = await refused(() => ask(client(busy, { maxRetries: 1, fetch: counted })));
  const waited = performance.now() - began;
  held.controller.abort();
  assert.ok(error instanceof sdk.RateLimitError, `${error}`);
  assert.equal(error.status, 429);
  const hint = Number(error.headers.get("retry-after-ms"));
  assert.ok(hint >= 1000 && hint <= 1000 * Number(error.headers.get("retry-after")));
  // On their own the SDKs return within half a second.
  assert.ok(waited >= 1000 && sent === 2, `${waited} ms, ${sent}`);
}

async function whatCanNeverSucceedIsNotTriedAgain() {
  let sent = 0;
  const counted = (...asked) => (sent++, fetch(...asked));
  const patient = client(good, { maxRetries: 2, fetch: counted });
  const taken = { headers: { "Idempotency-Key": `node-${kind}-again` } };
  await ask(patient, {}, taken);
  sent = 0;
  // Both SDKs repeat a conflict unless they are told not to.
  const other = { messages: [{ role: "user", content: "something else" }] };
  assert.ok((await refused(() => ask(patient, other, taken))) instanceof sdk.ConflictError);
  assert.equal(sent, 1);
  sent = 0;
  const simulate = { fail: "provider_unavailable", retry_after_ms: 10 };
  assert.ok((await refused(() => ask(patient, { simulate }))) instanceof sdk.InternalServerError);
  assert.equal(sent, 3);
}

async function aTimeOutIsOne() {
  const simulate = { first_token_ms: 20_000 };
  const began = performance.now();
  for (const stream of [false, true]) {
    const error = await refused(() => ask(client(good, { timeout: 300 }), { stream, simulate }));
    assert.ok(error instanceof sdk.APIConnectionTimeoutError, `${error}`);
  }
  assert.ok(performance.now() - began < 10_000);
}

async function aKeyIsShownInEitherHeader() {
  for (const headers of [
    { Authorization: `Bearer ${good}`, "x-api-key": null },
    { Authorization: null, "x-api-key": good },
  ]) {
    await ask(client("none"), {}, { headers });
  }
}

await eachStatusIsItsClass();
await aLimitSaysWhenToReturnAndIsKeptTo();
await whatCanNeverSucceedIsNotTriedAgain();
await aTimeOutIsOne();
await aKeyIsShownInEitherHeader();

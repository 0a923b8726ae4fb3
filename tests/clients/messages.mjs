// The official Anthropic SDK for Node against a running Dynode: only the base URL is ours. The second URL is of a server
// that does one thing at a time and has a budget that is too small.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const [baseURL, tight] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there, world" }];
const said = "You said: Hello there, world";
const call = [{ role: "user", content: "please call weather" }];
const weather = {
  name: "weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const defaults = { model: "sim-fast", max_tokens: 100, messages };
const ask = (options, to = client) => to.messages.create({ ...defaults, ...options });

async function aMessageIsAnswered() {
  const message = await ask({ system: [{ type: "text", text: "Be brief." }] });
  assert.equal(message.content[0].text, said);
  assert.equal(message.stop_reason, "end_turn");
  assert.equal(message.id, `msg_${message._request_id}`);
  assert.ok(message.usage.input_tokens > 0 && message.usage.output_tokens > 0);
}

async function aMessageIsStreamed() {
  const events = [];
  for await (const event of await ask({ stream: true })) events.push(event);
  const text = events.map((event) => event.delta?.text ?? "").join("");
  assert.equal(text, said);
  assert.equal(events[0].type, "message_start");
  assert.equal(events.at(-1).type, "message_stop");
}

async function theStreamHelperPutsTheMessageTogether() {
  const stream = client.messages.stream(defaults);
  const pieces = [];
  stream.on("text", (piece) => pieces.push(piece));
  const message = await stream.finalMessage();
  assert.equal(pieces.join(""), said);
  assert.equal(await stream.finalText(), said);
  const whole = await ask();
  assert.deepEqual(message.content, whole.content);
  assert.deepEqual(message.usage, whole.usage);
}

async function aToolIsCalledAndItsResultRead() {
  const stream = client.messages.stream({ ...defaults, messages: call, tools: [weather] });
  const inputs = [];
  stream.on("inputJson", (piece) => inputs.push(piece));
  const message = await stream.finalMessage();
  assert.equal(inputs.join(""), '{"city":"city"}');
  assert.deepEqual(message.content[0].input, { city: "city" });
  assert.equal(message.stop_reason, "tool_use");
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } };
  const content = [{ type: "text", text: "sunny" }, image];
  const result = { type: "tool_result", tool_use_id: message.content[0].id, content };
  const history = [...call, { role: "assistant", content: message.content }, { role: "user", content: [result] }];
  const answer = await ask({ messages: history, tools: [weather] });
  assert.equal(answer.content[0].text, "The tool said: sunny");
}

async function toolsAreRun() {
  const seen = [];
  const run = ({ city }) => (seen.push(city), "sunny");
  const tool = betaTool({ name: "weather", description: "Tells the weather.", inputSchema: weather.input_schema, run });
  const answer = await client.beta.messages.toolRunner({ ...defaults, messages: call, tools: [tool] });
  assert.equal(answer.content[0].text, "The tool said: sunny");
  assert.deepEqual(seen, ["city"]);
}

async function modelsAreListedAndTokensCounted() {
  const ids = [];
  for await (const model of client.models.list({ limit: 1 })) ids.push(model.id);
  assert.ok(ids.includes("sim-chat") && ids.includes("sim-fast") && !ids.includes("sim-embed"), `${ids}`);
  assert.equal((await client.models.retrieve("sim-chat")).id, "sim-chat");
  const count = await client.messages.countTokens({ model: "sim-fast", messages });
  assert.ok(count.input_tokens > 0);
}

async function errorsAreTheClassesThatUsersCatch() {
  const unknown = (error) =>
    error instanceof Anthropic.NotFoundError && error.type === "not_found_error" && error.requestID === error.error.request_id;
  await assert.rejects(ask({ model: "claude-none" }), unknown);
  const bad = (error) => error instanceof Anthropic.BadRequestError && error.message.includes("messages: ");
  await assert.rejects(ask({ messages: [] }), bad);
  const warm = (error) => error instanceof Anthropic.BadRequestError && error.message.includes("temperature: ");
  await assert.rejects(ask({ temperature: 0.5 }), warm);
  const failed = (error) => error instanceof Anthropic.InternalServerError && error.status === 502;
  await assert.rejects(ask({ simulate: { fail: "provider_error" } }), failed);
  await assert.rejects(async () => {
    const stream = await ask({ stream: true, simulate: { fail: "invalid_request", after_tokens: 2 } });
    for await (const _ of stream);
  }, Anthropic.APIError);
  const slow = { ...defaults, simulate: { first_token_ms: 20_000 } };
  await assert.rejects(client.messages.create(slow, { timeout: 300 }), Anthropic.APIConnectionTimeoutError);
}

async function whatIsFullIsTriedAgainAndWhatIsSpentIsNot() {
  let sent = 0;
  const counted = (...request) => (sent++, fetch(...request));
  const busy = new Anthropic({ baseURL: tight, apiKey: "none", maxRetries: 1, fetch: counted });
  await assert.rejects(ask({ model: "paid" }, busy), Anthropic.RateLimitError);
  assert.equal(sent, 1);
  const simulate = { tokens: 1_000, tokens_per_second: 1, first_token_ms: 0 };
  const held = await ask({ stream: true, simulate }, busy);
  sent = 0;
  const began = Date.now();
  const full = (error) => error.status === 529 && error.type === "overloaded_error";
  await assert.rejects(ask({}, busy), full);
  assert.ok(sent === 2 && Date.now() - began >= 1_000, `${sent} in ${Date.now() - began} ms`);
  held.controller.abort();
}

await aMessageIsAnswered();
await aMessageIsStreamed();
await theStreamHelperPutsTheMessageTogether();
await aToolIsCalledAndItsResultRead();
await toolsAreRun();
await modelsAreListedAndTokensCounted();
await errorsAreTheClassesThatUsersCatch();
await whatIsFullIsTriedAgainAndWhatIsSpentIsNot();

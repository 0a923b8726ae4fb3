// The Responses API of the official OpenAI SDK for Node against a running Dynode.

import assert from "node:assert/strict";
import OpenAI from "openai";

const baseURL = `${process.argv[2]}/v1`;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const said = "You said: Hello there, world";
const ask = (options) => client.responses.create({ model: "sim-fast", input: "Hello there, world", ...options });
const weather = {
  type: "function",
  name: "weather",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  strict: false,
};

async function untilEnded(response) {
  for (let round = 0; round < 600; round++) {
    if (!["queued", "in_progress"].includes(response.status)) return response;
    await new Promise((resolve) => setTimeout(resolve, 50));
    response = await client.responses.retrieve(response.id);
  }
  assert.fail(`${response.id} does not end: ${response.status}`);
}

async function aResponseIsAnsweredAndRetrieved() {
  const response = await ask();
  assert.equal(response.status, "completed");
  assert.equal(response.output_text, said);
  assert.ok(response.usage.output_tokens > 0);
  assert.ok(response._request_id);
  assert.deepEqual(await client.responses.retrieve(response.id), response);
}

async function aResponseIsStreamedAndTakenUpAgain() {
  const events = [];
  for await (const event of await ask({ stream: true })) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, index) => index));
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.equal(deltas.map((event) => event.delta).join(""), said);
  assert.equal(events.at(-1).type, "response.completed");
  const rest = [];
  const again = { stream: true, starting_after: 3 };
  for await (const event of await client.responses.retrieve(events[0].response.id, again)) rest.push(event);
  assert.deepEqual(rest, events.slice(4));
}

async function theStreamHelperPutsTheAnswerTogether() {
  const stream = client.responses.stream({ model: "sim-fast", input: "Hello there, world" });
  const seen = [];
  stream.on("response.output_text.delta", (event) => seen.push(event.delta));
  const response = await stream.finalResponse();
  assert.equal(response.output_text, said);
  assert.equal(seen.join(""), said);
}

async function aToolIsCalledAndItsAnswerRead() {
  const input = [{ role: "user", content: "please call weather" }];
  const stream = client.responses.stream({ model: "sim-fast", input, tools: [weather] });
  const response = await stream.finalResponse();
  const call = response.output.find((item) => item.type === "function_call");
  assert.deepEqual([call.name, call.arguments], ["weather", '{"city":"city"}']);
  const result = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
  const whole = await ask({ input: [...input, ...response.output, result], tools: [weather] });
  assert.equal(whole.output_text, "The tool said: sunny");
  const chained = await ask({ input: [result], tools: [weather], previous_response_id: response.id });
  assert.equal(chained.output_text, whole.output_text);
}

async function aResponseRunsInTheBackgroundAndIsCancelledAndDeleted() {
  assert.equal((await untilEnded(await ask({ background: true }))).output_text, said);
  const slow = await ask({ background: true, simulate: { tokens: 400, tokens_per_second: 2 } });
  assert.equal((await untilEnded(await client.responses.cancel(slow.id))).status, "cancelled");
  await client.responses.delete(slow.id);
  await assert.rejects(client.responses.retrieve(slow.id), OpenAI.NotFoundError);
}

async function whatWasAskedIsListedAndCounted() {
  const items = [];
  for await (const item of client.responses.inputItems.list((await ask()).id)) items.push(item);
  assert.deepEqual(items.map((item) => item.content[0].text), ["Hello there, world"]);
  assert.ok((await client.responses.inputTokens.count({ model: "sim-fast", input: "Hello" })).input_tokens > 0);
}

async function errorsAreTheClassesThatUsersCatch() {
  const unknown = (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && !!error.requestID;
  await assert.rejects(ask({ model: "gpt-none" }), unknown);
  const bad = (error) => error instanceof OpenAI.BadRequestError && error.param === "tools[0].type";
  await assert.rejects(ask({ tools: [{ type: "web_search" }] }), bad);
  const failed = (error) => error instanceof OpenAI.InternalServerError && error.status === 502;
  await assert.rejects(ask({ simulate: { fail: "provider_error" } }), failed);
  await assert.rejects(ask({ stream: true, simulate: { fail: "provider_error" } }), failed);
}

await aResponseIsAnsweredAndRetrieved();
await aResponseIsStreamedAndTakenUpAgain();
await theStreamHelperPutsTheAnswerTogether();
await aToolIsCalledAndItsAnswerRead();
await aResponseRunsInTheBackgroundAndIsCancelledAndDeleted();
await whatWasAskedIsListedAndCounted();
await errorsAreTheClassesThatUsersCatch();

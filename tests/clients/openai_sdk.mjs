// The official OpenAI SDK for Node against a running Dynode: only the base URL is ours.

import assert from "node:assert/strict";
import OpenAI from "openai";

const baseURL = `${process.argv[2]}/v1`;
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there, world" }];
const said = "You said: Hello there, world";
const ask = (options) => client.chat.completions.create({ model: "sim-fast", messages, ...options });
const embed = (options) => client.embeddings.create({ model: "sim-embed", input: "hello", ...options });

async function aChatIsAnswered() {
  const completion = await ask();
  assert.equal(completion.choices[0].message.content, said);
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.ok(completion.usage.completion_tokens > 0);
  assert.ok(completion._request_id);
}

async function aChatIsStreamed() {
  const chunks = [];
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) chunks.push(chunk);
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.completion_tokens > 0);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
  assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), said);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
}

async function theStreamHelperPutsTheAnswerTogether() {
  const stream = client.chat.completions.stream({ model: "sim-fast", messages });
  assert.equal(await stream.finalContent(), said);
}

async function toolsAreRun() {
  const seen = [];
  const weather = {
    name: "weather",
    parse: JSON.parse,
    function: ({ city }) => (seen.push(city), "sunny"),
    parameters: { type: "object", properties: { city: { type: "string" } } },
  };
  const runner = client.chat.completions.runTools({
    model: "sim-fast",
    stream: true,
    messages: [{ role: "user", content: "please call weather" }],
    tools: [{ type: "function", function: weather }],
  });
  assert.equal(await runner.finalContent(), "The tool said: sunny");
  assert.deepEqual(seen, ["city"]);
}

async function embeddingsComeInTheFormThatIsAskedFor() {
  const floats = (await embed({ encoding_format: "float" })).data[0].embedding;
  const byDefault = (await embed()).data[0].embedding;
  assert.equal(floats.length, 256);
  assert.deepEqual(Array.from(byDefault), Array.from(new Float32Array(floats)));
  const packed = (await embed({ encoding_format: "base64" })).data[0].embedding;
  assert.equal(Buffer.from(packed, "base64").length, 4 * 256);
  const batch = await embed({ input: ["hello", "else"] });
  assert.deepEqual(batch.data.map((item) => item.index), [0, 1]);
}

async function modelsAreListed() {
  const ids = (await client.models.list()).data.map((model) => model.id);
  assert.ok(ids.includes("sim-chat"));
  assert.equal((await client.models.retrieve("sim-chat")).id, "sim-chat");
  await assert.rejects(client.models.retrieve("none/such"), OpenAI.NotFoundError);
}

async function errorsAreTheClassesThatUsersCatch() {
  const unknown = (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && !!error.requestID;
  await assert.rejects(ask({ model: "gpt-none" }), unknown);
  const bad = (error) => error instanceof OpenAI.BadRequestError && error.param === "messages";
  await assert.rejects(ask({ messages: [] }), bad);
  const failed = (error) => error instanceof OpenAI.InternalServerError && error.status === 502;
  await assert.rejects(ask({ simulate: { fail: "provider_error" } }), failed);
  await assert.rejects(async () => {
    const stream = await ask({ stream: true, simulate: { fail: "invalid_request", after_tokens: 2 } });
    for await (const _ of stream);
  }, OpenAI.APIError);
}

async function imagesAndSpeechCome() {
  const images = await client.images.generate({ model: "sim-image", prompt: "a cat", size: "64x64", n: 2 });
  const pictures = images.data.map((image) => Buffer.from(image.b64_json, "base64"));
  assert.ok(pictures.length === 2 && pictures.every((picture) => picture.subarray(1, 4).toString() === "PNG"));
  const speech = await client.audio.speech.create({ model: "sim-speech", voice: "alloy", input: "Hello" });
  assert.equal(Buffer.from(await speech.arrayBuffer()).subarray(0, 4).toString(), "RIFF");
}

async function theSameKeyIsTheSameRequest() {
  const headers = { "Idempotency-Key": "node-key" };
  const again = (body) => client.chat.completions.create({ model: "sim-fast", messages: body }, { headers });
  assert.equal((await again(messages)).id, (await again(messages)).id);
  await assert.rejects(again([{ role: "user", content: "else" }]), OpenAI.ConflictError);
}

await aChatIsAnswered();
await aChatIsStreamed();
await theStreamHelperPutsTheAnswerTogether();
await toolsAreRun();
await embeddingsComeInTheFormThatIsAskedFor();
await modelsAreListed();
await errorsAreTheClassesThatUsersCatch();
await imagesAndSpeechCome();
await theSameKeyIsTheSameRequest();

"use strict";
// Draws openapi.json. Text from the document becomes text nodes and nothing else.

const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

/** An element with attributes and children; strings become text. */
function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) node.setAttribute(key, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

/** Text in which `code` stands out. */
function prose(text) {
  return (text ?? "").split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

function resolve(object) {
  if (!object?.$ref) return object;
  const found = object.$ref.slice(2).split("/").reduce((place, key) => place?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  return { ...found, ...object, $ref: undefined };
}

const nameOf = (schema) => schema?.$ref?.split("/").pop();

/** What kind of value it is, in a word or two. */
function kind(schema) {
  if (schema === undefined || schema === true) return "anything";
  if (nameOf(schema)) return nameOf(schema);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(kind).join(" | ");
  if (schema.allOf) return schema.allOf.map(kind).join(" & ");
  const types = [schema.type ?? "anything"].flat();
  return types.map((type) => (type === "array" ? `array of ${kind(schema.items)}` : type)).join(" | ");
}

/** That, and whether it may be left out. */
const label = (schema, required) => (required ? kind(schema) : `${kind(schema).replace(" | null", "")}, optional`);

/** The schemas in which the fields of `schema` stand. */
function parts(schema) {
  const found = resolve(schema);
  if (!found || typeof found !== "object") return [];
  return [found, ...(found.allOf ?? []).flatMap(parts)];
}

/** The fields of a schema, or its choices; named schemas open on a click, so that what contains itself ends. */
function fields(schema) {
  const all = parts(schema);
  const rows = all.flatMap((part) =>
    Object.entries(part.properties ?? {}).map(([name, field]) => {
      const found = resolve(field);
      const required = all.some((one) => (one.required ?? []).includes(name));
      return [
        el("dt", {}, el("code", {}, name), el("span", { class: "soft" }, label(field, required))),
        el("dd", {}, prose(found?.description), deeper(field)),
      ];
    }),
  );
  const choices = all.flatMap((part) => [part.oneOf, part.anyOf].flat()).filter((one) => one && one.type !== "null");
  const choice = (one) => {
    const found = resolve(one);
    const title = found.const !== undefined ? JSON.stringify(found.const) : eventName(found) ?? kind(one);
    return [el("dt", {}, el("code", {}, title)), el("dd", {}, prose(found.description), nameOf(one) ? deeper(one) : found.properties ? fields(found) : null)];
  };
  const list = [...rows.flat(), ...choices.flatMap(choice)];
  return list.length ? el("dl", {}, list) : null;
}

const eventName = (schema) => schema.properties?.event?.const;

/** A named schema, or one that has fields of its own, behind a click. */
function deeper(schema) {
  const inner = schema?.items ?? schema;
  const target = nameOf(inner) ? inner : (inner?.anyOf ?? inner?.oneOf ?? []).find(nameOf);
  if (target) return lazy(nameOf(target), () => fields(target));
  return inner?.properties || inner?.oneOf ? fields(inner) : null;
}

function lazy(title, draw) {
  const details = el("details", {}, el("summary", {}, el("code", {}, title)));
  const open = () => details.open && details.childElementCount === 1 && details.append(draw() ?? el("p", { class: "soft" }, "No fields."));
  details.addEventListener("toggle", open);
  return details;
}

const block = (text) => el("pre", {}, el("code", {}, text));
const example = (value) => block(typeof value === "string" ? value : JSON.stringify(value, null, 2));

function parameters(operation) {
  const all = (operation.parameters ?? []).map(resolve);
  if (!all.length) return null;
  const row = (parameter) => [
    el("dt", {}, el("code", {}, parameter.name), el("span", { class: "soft" }, `${parameter.in}, ${label(parameter.schema, parameter.required)}`)),
    el("dd", {}, prose(parameter.description)),
  ];
  return [el("h4", {}, "Parameters"), el("dl", {}, all.flatMap(row))];
}

/** The line with which a shell asks. */
function curl(method, path, operation) {
  const filled = (operation.parameters ?? []).map(resolve).filter((one) => one.in === "path")
    .reduce((text, one) => text.replace(`{${one.name}}`, encodeURIComponent(one.example ?? one.name)), path);
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${new URL(`.${filled}`, base()).href}`];
  const needsKey = (operation.security ?? api.security ?? []).length > 0;
  if (needsKey) lines.push(`-H "Authorization: Bearer $DYNODE_KEY"`);
  const body = operation.requestBody?.content?.["application/json"];
  if (body) {
    lines.push(`-H 'Content-Type: application/json'`);
    lines.push(`-d '${JSON.stringify(body.example).replaceAll("'", `'\\''`)}'`);
  }
  return lines.join(" \\\n  ");
}

/** Where the routes begin: beside this page, whatever stands before it. */
const base = () => new URL("./", location.href);

function body(operation) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  if (!content.length) return null;
  const [, first] = content[0];
  return [el("h4", {}, `Body: ${content.map(([type]) => type).join(" or ")}`), fields(first.schema)];
}

function answers(operation) {
  const one = ([status, answer]) => {
    const found = resolve(answer);
    const content = Object.entries(found.content ?? {});
    const draw = () => el("div", {},
      el("dl", {}, Object.entries(found.headers ?? {}).flatMap(([name, header]) => [
        el("dt", {}, el("code", {}, name), el("span", { class: "soft" }, "header")), el("dd", {}, prose(header.description))])),
      content.map(([type, media]) => [
        el("h4", {}, type), fields(media["x-event-schema"] ?? media.schema), media.example === undefined ? null : example(media.example)]));
    const details = lazy(status, draw);
    details.firstChild.append(el("span", { class: "soft" }, prose(found.description)));
    return details;
  };
  return [el("h4", {}, "Answers"), Object.entries(operation.responses).map(one)];
}

function article([method, path, operation]) {
  return el("article", { id: operation.operationId },
    el("h3", {}, el("a", { href: `#${operation.operationId}` }, operation.summary)),
    el("div", { class: "route" }, el("span", { class: `method ${method}` }, method), path),
    el("p", {}, prose(operation.description)),
    block(curl(method, path, operation)),
    parameters(operation), body(operation), answers(operation));
}

function draw() {
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [method, path, item[method]]));
  operations.sort(([, , one], [, , other]) => one["x-order"] - other["x-order"]);
  const of = (tag) => operations.filter(([, , operation]) => operation.tags.includes(tag.name));
  const link = ([, , operation]) => el("a", { href: `#${operation.operationId}` }, operation.summary);
  document.getElementById("entries").replaceChildren(...api.tags.flatMap((tag) => [el("h2", {}, tag.name), ...of(tag).map(link)]));
  document.getElementById("main").replaceChildren(
    el("h1", {}, `${api.info.title} ${api.info.version}`),
    el("p", {}, prose(api.info.description)),
    el("p", {}, el("a", { href: "openapi.json" }, "openapi.json"), " · ",
      el("a", { href: "docs/contract" }, "the WebSocket, the bus and every message")),
    ...api.tags.flatMap((tag) => [el("h2", {}, tag.name), el("p", { class: "soft" }, prose(tag.description)), ...of(tag).map(article)]));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

document.getElementById("search").addEventListener("input", ({ target }) => {
  const wanted = target.value.toLowerCase();
  for (const link of document.querySelectorAll("nav a, article")) {
    const id = link.id || link.hash.slice(1);
    const text = document.getElementById(id)?.textContent.toLowerCase() ?? "";
    link.hidden = !text.includes(wanted);
  }
});

fetch("openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then((document) => { api = document; draw(); })
  .catch((error) => document.getElementById("main").replaceChildren(el("p", {}, `openapi.json could not be read: ${error.message}`)));

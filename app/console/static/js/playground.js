// The playground's request: sends the form, shows partial and whole images, stops. What is asked, allowed and charged is
// decided by the gateway.

import { createParser } from "../vendor/eventsource-parser-3.1.1.js";
import { asked, offerEdit } from "./edits.js";
import { clear, failureOf, show } from "./images.js";
import { keepImages } from "./keep.js";

const form = document.querySelector("[data-playground]");
const part = (name) => document.querySelector(`[data-${name}]`);
let stopping = null;

function say(text) {
  part("phase").textContent = text;
}

function fail(text) {
  part("failure").hidden = false;
  part("failure").querySelector("p").textContent = text;
  say("");
}

function place(image, number, type, isWhole) {
  const alt = isWhole ? `Image ${number + 1}: ${form.elements.prompt.value.slice(0, 200)}` : "A partial image";
  show(part("images"), image, number, { type, alt, isWhole });
  if (isWhole) offerEdit(part("images").children[number]);
}

async function readStream(response, type, since) {
  let usage = null;
  const parser = createParser({
    onEvent(message) {
      if (!message.data.startsWith("{")) return;
      const event = JSON.parse(message.data);
      if (event.error) throw new Error(event.error.message);
      if (event.type.endsWith(".partial_image")) {
        place(event, 0, type, false);
        say(`Partial image ${event.partial_image_index + 1} after ${since()}.`);
      } else if (event.type.endsWith(".completed")) {
        place(event, 0, type, true);
        usage = event.usage ?? {};
      }
    },
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) parser.feed(chunk.value);
  if (usage === null) throw new Error("The answer ended before the image was whole.");
  return usage;
}

async function readDocument(response, type) {
  const answer = await response.json();
  if (answer.error) throw new Error(answer.error.message);
  answer.data.forEach((image, number) => place(image, number, type, true));
  return answer.usage ?? {};
}

async function make() {
  const began = performance.now();
  const since = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  stopping = new AbortController();
  const { url, body } = await asked();
  const type = body.get("output_format") || "png";
  clear(part("images"));
  part("failure").hidden = true;
  part("kept").textContent = "";
  say("Asked. An image takes from ten seconds to two minutes.");
  const response = await fetch(url, { method: "POST", body, signal: stopping.signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The connection broke before an answer came. My usage shows whether the image was bought.");
  });
  if (!response.ok) throw await failureOf(response);
  const isStream = response.headers.get("content-type").startsWith("text/event-stream");
  const usage = await (isStream ? readStream(response, type, since) : readDocument(response, type));
  say(`Done after ${since()}${usage.total_tokens ? `, ${usage.total_tokens.toLocaleString("en")} tokens` : ""}.`);
  keepImages(part("images"), body, response, usage);
}

async function run() {
  part("make").disabled = true;
  part("stop").hidden = false;
  try {
    await make();
  } catch (error) {
    if (error.name === "AbortError") {
      say("Stopped here. What was sent to ZenMux is still made, and charged.");
    } else {
      fail(error.message);
    }
  } finally {
    part("make").disabled = false;
    part("stop").hidden = true;
    form.dispatchEvent(new Event("change", { bubbles: true })); // what is left of the limits has changed
  }
}

if (form) {
  part("make").hidden = false;
  part("price").hidden = true;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!part("make").disabled) run();
  });
  part("stop").addEventListener("click", () => stopping.abort());
}

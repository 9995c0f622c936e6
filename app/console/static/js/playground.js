// The playground's request: sends the form, shows partial and whole images, stops. What is asked, allowed and charged is
// decided by the gateway.

import { createParser } from "../vendor/eventsource-parser-3.1.1.js";

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

function blobOf(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: `image/${type}` });
}

// One place for each image; the next partial image takes the place of the one before.
function show(image, number, type, isWhole) {
  const places = part("images");
  let figure = places.children[number];
  if (!figure) {
    figure = document.createElement("figure");
    figure.append(document.createElement("img"), document.createElement("figcaption"));
    places.append(figure);
  }
  const [picture, caption] = figure.children;
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  picture.src = image.url ?? URL.createObjectURL(blobOf(image.b64_json, type));
  picture.alt = isWhole ? `Image ${number + 1}: ${form.elements.prompt.value.slice(0, 200)}` : "A partial image";
  if (!isWhole) return;
  const link = document.createElement("a");
  link.href = picture.src;
  link.download = `image-${number + 1}.${type === "jpeg" ? "jpg" : type}`;
  link.textContent = "Download";
  caption.replaceChildren(link);
}

function clear() {
  for (const picture of document.querySelectorAll("[data-images] img")) {
    if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  }
  part("images").replaceChildren();
  part("failure").hidden = true;
}

async function readStream(response, type, since) {
  let usage = null;
  const parser = createParser({
    onEvent(message) {
      if (!message.data.startsWith("{")) return;
      const event = JSON.parse(message.data);
      if (event.error) throw new Error(event.error.message);
      if (event.type.endsWith(".partial_image")) {
        show(event, 0, type, false);
        say(`Partial image ${event.partial_image_index + 1} after ${since()}.`);
      } else if (event.type.endsWith(".completed")) {
        show(event, 0, type, true);
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
  answer.data.forEach((image, number) => show(image, number, type, true));
  return answer.usage ?? {};
}

async function make() {
  const began = performance.now();
  const since = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const fields = new URLSearchParams(new FormData(form));
  const type = fields.get("output_format") || "png";
  stopping = new AbortController();
  clear();
  say("Asked. An image takes from ten seconds to two minutes.");
  const response = await fetch(`${form.getAttribute("action")}/images`, {
    method: "POST",
    body: fields,
    signal: stopping.signal,
  });
  if (!response.ok) {
    const text = await response.text();
    throw new Error(text.startsWith("{") ? JSON.parse(text).error.message : text);
  }
  const isStream = response.headers.get("content-type").startsWith("text/event-stream");
  const usage = await (isStream ? readStream(response, type, since) : readDocument(response, type));
  say(`Done after ${since()}${usage.total_tokens ? `, ${usage.total_tokens.toLocaleString("en")} tokens` : ""}.`);
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

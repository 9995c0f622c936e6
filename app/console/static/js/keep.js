// Keeps the whole images of an answer in the gallery of this browser. Whatever goes wrong is said under them, and changes
// nothing else: the images are shown and paid for.

import { shownBlob } from "./images.js";
import { choices, keep, reason } from "./store.js";

const THUMBNAIL_PIXELS = 320;

// A small picture of it, and how large it is.
async function measured(blob) {
  const bitmap = await createImageBitmap(blob);
  const { width, height } = bitmap;
  const scale = Math.min(1, THUMBNAIL_PIXELS / Math.max(width, height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return { size: `${width}x${height}`, thumbnail: await canvas.convertToBlob({ type: "image/webp", quality: 0.8 }) };
}

function detailsOf(fields, response, usage) {
  return {
    at: new Date().toISOString(),
    operation: fields.has("image[]") ? "edit" : "generation",
    prompt: fields.get("prompt"),
    model: fields.get("model"),
    quality: fields.get("quality") || "auto",
    request_id: response.headers.get("x-request-id"),
    cost_usd_at_most: response.headers.get("x-gateway-estimated-cost-usd"), // of the request, as the next one
    usage,
  };
}

// `places` has an image in each figure; `fields` were sent, `response` and `usage` came.
export async function keepImages(places, fields, response, usage) {
  const said = document.querySelector("[data-kept]");
  const elements = [...places.querySelectorAll("img")];
  try {
    if (!choices().keep) return;
    const details = detailsOf(fields, response, usage);
    for (const element of elements) {
      const blob = await shownBlob(element);
      await keep({ ...details, ...(await measured(blob)), blob });
    }
    said.textContent = "Kept in your gallery, in this browser.";
  } catch (error) {
    said.textContent = `Not kept in your gallery. ${reason(error)}`;
  }
}

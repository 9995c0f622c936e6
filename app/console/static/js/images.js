// Images out of an answer, in their places on a page.

function blobOf(base64, type) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = text.charCodeAt(at); // Uint8Array.from takes ten times as long
  return new Blob([bytes], { type: `image/${type}` });
}

// A link of this gateway may name another of its hosts, whose images this page may not show.
function pathOf(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

// One place for each image; the next partial image takes the place of the one before. `alt`: what the image is.
export function show(places, image, number, { type, alt, isWhole }) {
  let figure = places.children[number];
  if (!figure) {
    figure = document.createElement("figure");
    figure.append(document.createElement("img"), document.createElement("figcaption"));
    places.append(figure);
  }
  const [element, caption] = figure.children;
  if (element.src.startsWith("blob:")) URL.revokeObjectURL(element.src);
  element.blob = image.b64_json ? blobOf(image.b64_json, type) : null; // the policy lets nobody fetch blob:
  element.src = element.blob ? URL.createObjectURL(element.blob) : pathOf(image.url);
  element.alt = alt;
  if (!isWhole) return;
  const link = document.createElement("a");
  link.href = element.src;
  link.download = `image-${number + 1}.${type === "jpeg" ? "jpg" : type}`;
  link.textContent = "Download";
  caption.replaceChildren(link);
}

// The bytes of an image that is shown.
export async function shownBlob(element) {
  if (element.blob) return element.blob;
  const response = await fetch(element.src);
  if (!response.ok) throw new Error("the gateway no longer has the image");
  return response.blob();
}

export function clear(places) {
  for (const element of places.querySelectorAll("img")) {
    if (element.src.startsWith("blob:")) URL.revokeObjectURL(element.src);
  }
  places.replaceChildren();
}

// What went wrong, in the gateway's words.
export async function failureOf(response) {
  const text = await response.text();
  return new Error(text.startsWith("{") ? JSON.parse(text).error.message : text);
}

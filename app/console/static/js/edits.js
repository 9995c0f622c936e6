// The images that are to be edited: dropped, chosen, pasted, or an image that was just made. The page describes them to
// be told the price; they are sent only with the request itself. What is allowed is decided by the gateway.

import { shownBlob } from "./images.js";
import { paint } from "./mask.js";
import { maskOf } from "./strokes.js";

const form = document.querySelector("[data-playground]");
const zone = document.querySelector("[data-inputs]");
const part = (name) => zone.querySelector(`[data-${name}]`);
const imagesMax = Number(zone?.dataset.imagesMax);

let items = []; // { file, name, url, width, height, start, strokes, mask }
let pending = Promise.resolve(); // files are read and masks made one after the other, before anything is sent

function inTurn(work) {
  pending = pending.then(work);
  return pending;
}

async function startOf(blob) {
  const bytes = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A name that no other file of the edit has, as the programs name all of them. The mask that is `replaced` goes away.
function nameOf(file, replaced = null) {
  const clean = file.name.replace(/\p{C}/gu, " ").trim().slice(0, 200) || "image";
  const [, stem, end] = clean.match(/^(.*?)(\.[^.]*)?$/s);
  const taken = new Set(items.flatMap((item) => [item.name, item.mask?.name]));
  taken.delete(replaced?.name);
  let name = clean;
  for (let number = 2; taken.has(name); number += 1) name = `${stem}-${number}${end ?? ""}`;
  return name;
}

// An image with its size, as this browser reads it.
async function read(file, replaced = null) {
  const url = URL.createObjectURL(file);
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(url);
    throw new Error(`“${file.name}” is not an image that can be read. Take a PNG, JPEG or WebP file.`);
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  return { file, name: nameOf(file, replaced), url, width, height, start: await startOf(file) };
}

function add(files, isFirst = false) {
  return inTurn(async () => {
    const faults = [];
    for (const file of files) {
      if (items.length >= imagesMax) {
        faults.push(`At most ${imagesMax} images can be edited at once: the rest was left out.`);
        break;
      }
      try {
        const item = { ...(await read(file)), strokes: [], mask: null };
        items = isFirst ? [item, ...items] : [...items, item];
      } catch (error) {
        faults.push(error.message);
      }
    }
    show(faults.join(" "));
  });
}

function setMask(item, mask, strokes = []) {
  if (item.mask) URL.revokeObjectURL(item.mask.url);
  Object.assign(item, { mask, strokes });
}

function remove(item) {
  URL.revokeObjectURL(item.url);
  setMask(item, null);
  items = items.filter((each) => each !== item);
}

function move(item, by) {
  const from = items.indexOf(item);
  items = items.filter((each) => each !== item);
  items.splice(from + by, 0, item);
}

function describe({ start, file, width, height, name }) {
  return `${start} ${file.size} ${width}x${height} ${name}`;
}

function hidden(name, value) {
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = name;
  field.value = value;
  return field;
}

function thumbOf(item, number) {
  const thumb = document.querySelector("template[data-thumb]").content.cloneNode(true).firstElementChild;
  thumb.querySelector("img").src = item.url;
  thumb.querySelector("bdi").textContent = item.name;
  thumb.querySelector("[data-badge]").hidden = number !== 0 || !item.mask;
  const labels = { earlier: "Move earlier", later: "Move later", remove: "Remove" };
  for (const button of thumb.querySelectorAll("[data-do]")) {
    button.title = labels[button.dataset.do];
    button.setAttribute("aria-label", `${labels[button.dataset.do]}: ${item.name}`);
    button.addEventListener("click", () => act(button.dataset.do, item));
  }
  thumb.querySelector('[data-do="earlier"]').disabled = number === 0;
  thumb.querySelector('[data-do="later"]').disabled = number === items.length - 1;
  return thumb;
}

function act(what, item) {
  const number = items.indexOf(item);
  if (what === "remove") remove(item);
  else move(item, what === "later" ? 1 : -1);
  show();
  // The focus stays on what was pressed, or goes to what takes its place.
  const place = what === "remove" ? Math.min(number, items.length - 1) : items.indexOf(item);
  const button = (name) => part("thumbs").children[place]?.querySelector(`[data-do="${name}"]`);
  const buttons = [button(what), button("remove"), part("choose")];
  buttons.find((each) => each && !each.disabled).focus();
}

function showMask(first) {
  const mask = first?.mask;
  part("mask-line").hidden = !first;
  part("paint").querySelector("span").textContent = mask ? "Change the mask" : "Paint a mask";
  part("remove-mask").hidden = !mask;
  part("no-mask").hidden = Boolean(mask);
  part("mask-file").hidden = !mask;
  if (!mask) return;
  part("mask-file").textContent = `${mask.name}, ${mask.width}x${mask.height}`;
  part("mask-file").href = mask.url;
  part("mask-file").download = mask.name;
}

function show(fault = "") {
  const [first] = items;
  part("thumbs").hidden = part("remove-all").hidden = !first;
  part("thumbs").replaceChildren(...items.map(thumbOf));
  part("input-fault").textContent = fault;
  part("input-state").textContent = first ? `${items.length} of ${imagesMax} images to edit.` : "No image to edit.";
  showMask(first);
  const fields = items.map((item) => hidden("input_image", describe(item)));
  if (first?.mask) fields.push(hidden("input_mask", describe(first.mask)));
  part("input-fields").replaceChildren(...fields);
  for (const label of form.querySelectorAll("[data-edits-only]")) {
    label.hidden = !first;
    label.querySelector("select").disabled = !first;
  }
  form.querySelector("[data-make-label]").textContent = first ? "Edit image" : "Make image";
  form.dispatchEvent(new Event("change", { bubbles: true })); // the price is another
}

// Gives the first image a mask, however it is made.
function maskFirst(item, make, strokes) {
  return inTurn(async () => {
    try {
      setMask(item, await make(), strokes);
      show();
    } catch (error) {
      show(error.message);
    }
  });
}

async function paintFirst() {
  const [item] = items;
  const strokes = await paint(item, item.strokes);
  if (strokes === null) return;
  maskFirst(item, () => (strokes.length ? paintedMask(item, strokes) : null), strokes);
}

async function paintedMask({ width, height, mask }, strokes) {
  const file = await maskOf(strokes, width, height);
  const name = nameOf({ name: "mask.png" }, mask);
  return { file, name, url: URL.createObjectURL(file), width, height, start: await startOf(file) };
}

// What is sent: a generation, or an edit where there are images. An edit names its key in the address, so that nothing
// is read of an upload that nobody may make.
export async function asked() {
  await pending;
  const path = form.getAttribute("action");
  const fields = new FormData(form);
  if (!items.length) return { url: `${path}/images`, body: new URLSearchParams(fields) };
  fields.delete("input_image");
  fields.delete("input_mask");
  for (const item of items) fields.append("image[]", item.file, item.name);
  const { mask } = items[0];
  if (mask) fields.append("mask", mask.file, mask.name);
  return { url: `${path}/edits?${new URLSearchParams({ key: fields.get("key") })}`, body: fields };
}

// A button under a whole image that makes it the first one to edit.
export function offerEdit(figure) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet small";
  button.textContent = "Edit this image";
  button.addEventListener("click", async () => {
    try {
      const blob = await shownBlob(figure.querySelector("img"));
      await add([new File([blob], figure.querySelector("a").download)], true);
      form.elements.prompt.focus();
      form.elements.prompt.select();
    } catch (error) {
      show(`It cannot be edited: ${error.message}.`);
    }
  });
  figure.querySelector("figcaption").append(" ", button);
}

function takeFiles(event, transfer) {
  const files = [...(transfer?.files ?? [])];
  if (!files.length || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  add(files);
}

function chooseBy(button, input, take) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // the same file can be chosen again
    if (files.length) take(files);
  });
}

if (zone) {
  chooseBy(part("choose"), part("choose-file"), (files) => add(files));
  chooseBy(part("choose-mask"), part("choose-mask-file"), ([file]) => maskFirst(items[0], () => read(file, items[0].mask)));
  part("remove-all").addEventListener("click", () => {
    items.forEach(remove);
    show();
    part("choose").focus();
  });
  part("paint").addEventListener("click", paintFirst);
  part("remove-mask").addEventListener("click", () => {
    setMask(items[0], null);
    show();
    part("paint").focus();
  });
  document.addEventListener("paste", (event) => {
    const isText = event.clipboardData?.types.includes("text/plain"); // as from a word processor, which adds an image
    if (!isText) takeFiles(event, event.clipboardData);
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    part("drop").classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      if (name === "drop" || !event.relatedTarget) part("drop").classList.remove("over");
    });
  }
  document.addEventListener("drop", (event) => takeFiles(event, event.dataTransfer));
}

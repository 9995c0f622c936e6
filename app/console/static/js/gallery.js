// The images that this browser keeps: shown small, opened, downloaded, deleted, and all of them as one file.

import { BYTES_MAX, IMAGES_MAX, choices, choose, list, reason, remove, removeAll } from "./store.js";
import { zip } from "./zip.js";

const gallery = document.querySelector("[data-gallery]");
const part = (name) => gallery.querySelector(`[data-${name}]`);
const dialog = part("whole");
const said = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });
let opened = null;

function megabytes(bytes) {
  return `${(bytes / 1024 / 1024).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;
}

function timeOf(image) {
  return `${said.format(new Date(image.at))} UTC`;
}

function fileName(image) {
  const type = image.blob.type.replace("image/", "");
  return `${image.at.slice(0, 19).replaceAll(":", "-")}Z-${image.id}.${type === "jpeg" ? "jpg" : type}`;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a download may begin late
}

function figureOf(image) {
  const figure = part("small-image").content.cloneNode(true).firstElementChild;
  const [button, small, time, prompt] = ["button", "img", "time", "bdi"].map((tag) => figure.querySelector(tag));
  small.src = URL.createObjectURL(image.thumbnail);
  small.addEventListener("load", () => URL.revokeObjectURL(small.src), { once: true });
  button.setAttribute("aria-label", `Open the image of ${timeOf(image)}`);
  button.addEventListener("click", () => openImage(image));
  Object.assign(time, { dateTime: image.at, textContent: timeOf(image) });
  prompt.textContent = image.prompt;
  return figure;
}

function fill(images) {
  const bytes = images.reduce((sum, image) => sum + image.blob.size, 0);
  part("summary").textContent = `${images.length} of ${IMAGES_MAX} images, ${megabytes(bytes)} of ${megabytes(BYTES_MAX)}`;
  part("empty").hidden = images.length > 0;
  part("all").hidden = images.length === 0;
  part("images").replaceChildren(...images.map(figureOf));
}

function factsOf(image) {
  const { usage, cost_usd_at_most: cost } = image;
  return {
    Made: timeOf(image),
    Prompt: image.prompt,
    Model: image.model,
    Size: `${image.size}, ${megabytes(image.blob.size)}`,
    Quality: image.quality,
    Tokens: usage.total_tokens && `${usage.total_tokens.toLocaleString("en")} for the request`,
    Cost: cost && `at most $${cost} for the request`,
    Request: image.request_id,
  };
}

function openImage(image) {
  opened = image;
  const element = document.createElement("img");
  element.alt = image.prompt;
  element.src = URL.createObjectURL(image.blob);
  part("place").replaceChildren(element);
  const facts = Object.entries(factsOf(image)).filter(([, value]) => value);
  part("facts").replaceChildren(
    ...facts.flatMap((pair) =>
      ["dt", "dd"].map((tag, place) => Object.assign(document.createElement(tag), { textContent: pair[place], dir: "auto" })),
    ),
  );
  dialog.showModal();
}

async function exportAll() {
  const images = await list();
  const records = images.map(({ id, blob, thumbnail, ...image }) => ({
    file: fileName({ id, blob, ...image }),
    type: blob.type,
    bytes: blob.size,
    ...image,
  }));
  const now = new Date();
  const json = new Blob([JSON.stringify(records, null, 2)], { type: "application/json" });
  const files = images.map((image) => ({ name: fileName(image), blob: image.blob, at: new Date(image.at) }));
  save(await zip([...files, { name: "images.json", blob: json, at: now }]), `gallery-${now.toISOString().slice(0, 10)}.zip`);
}

// Does what a button asks for, and says so if it cannot be done.
async function act(button, action) {
  button.disabled = true;
  part("failure").hidden = true;
  try {
    await action();
  } catch (error) {
    part("failure").hidden = false;
    part("failure").querySelector("p").textContent = reason(error);
  } finally {
    button.disabled = false;
  }
}

function on(name, action) {
  part(name).addEventListener("click", () => act(part(name), action));
}

on("download", () => save(opened.blob, fileName(opened)));
on("export", exportAll);
on("delete", async () => {
  if (!window.confirm("Delete this image from this browser? What was bought stays charged.")) return;
  await remove(opened.id);
  dialog.close();
  fill(await list());
  part("title").focus();
});
on("delete-all", async () => {
  if (!window.confirm("Delete all images of your gallery from this browser? Nobody can bring them back.")) return;
  await removeAll();
  fill(await list());
});
for (const box of gallery.querySelectorAll("[data-choice]")) {
  box.addEventListener("change", () => act(box, () => choose({ [box.dataset.choice]: box.checked })));
}
dialog.addEventListener("close", () => {
  URL.revokeObjectURL(part("place").firstElementChild.src);
  part("place").replaceChildren();
});

part("without-script").hidden = true;
act(part("choices"), async () => {
  for (const box of gallery.querySelectorAll("[data-choice]")) box.checked = choices()[box.dataset.choice];
  fill(await list());
  part("choices").hidden = false;
});

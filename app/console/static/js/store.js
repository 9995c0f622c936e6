// The images that this browser keeps for whoever is signed in, in a database of IndexedDB that is theirs alone, and what
// they chose about it. The oldest images go first. Nothing of it is sent anywhere.

export const IMAGES_MAX = 200;
export const BYTES_MAX = 500 * 1024 * 1024;

const IMAGES = "images";
const user = document.querySelector("[data-user]")?.dataset.user;
const name = `zenmux-gateway-gallery:${user}`;

function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open() {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(IMAGES, { keyPath: "id", autoIncrement: true });
  return result(request);
}

// Does `work` in one transaction. The database is closed again, so that another tab can delete it.
async function transact(mode, work) {
  const database = await open();
  try {
    const transaction = database.transaction(IMAGES, mode);
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error("The browser ended it."));
    });
    const [found] = await Promise.all([work(transaction.objectStore(IMAGES)), ended]);
    return found;
  } finally {
    database.close();
  }
}

// The oldest of `kept` that must go for a new image of `size` bytes. `kept` has the oldest first.
export function surplus(kept, size) {
  let count = Math.max(0, kept.length + 1 - IMAGES_MAX);
  const bytesFrom = (start) => kept.slice(start).reduce((sum, each) => sum + each.blob.size, size);
  while (count < kept.length && bytesFrom(count) > BYTES_MAX) count += 1;
  return kept.slice(0, count);
}

// Keeps an image: { blob, thumbnail, … }.
export function keep(image) {
  return transact("readwrite", async (images) => {
    for (const { id } of surplus(await result(images.getAll()), image.blob.size)) images.delete(id);
    return result(images.add(image));
  });
}

// The newest first.
export async function list() {
  const kept = await transact("readonly", (images) => result(images.getAll()));
  return kept.reverse();
}

export function remove(id) {
  return transact("readwrite", (images) => result(images.delete(id)));
}

export async function removeAll() {
  await result(indexedDB.deleteDatabase(name));
}

export function choices() {
  return { keep: true, forget: false, ...JSON.parse(localStorage.getItem(name) ?? "{}") };
}

export function choose(changed) {
  localStorage.setItem(name, JSON.stringify({ ...choices(), ...changed }));
}

// What signing out does to the images.
export async function leave() {
  if (user && choices().forget) await removeAll();
}

// Why something could not be done, in words.
export function reason(error) {
  if (error.name === "QuotaExceededError") return "This browser has no more room for this site. Delete images in the gallery.";
  return `This browser could not do it (${error.name}: ${error.message}).`;
}

// What every page has: keys to jump with, buttons that copy, dialogs, a theme without a reload, and no polling while
// nobody looks. Every page works without it.

const JUMP_MILLISECONDS = 1200;
let jumping = 0;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
      search.select?.();
    }
    return;
  }
  if (event.key === "g") {
    jumping = event.timeStamp;
    return;
  }
  if (jumping && event.timeStamp - jumping < JUMP_MILLISECONDS) {
    const link = document.querySelector(`[data-jump="${CSS.escape(event.key)}"]`);
    if (link) window.location.assign(link.href);
  }
  jumping = 0;
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.textContent.trim());
  const label = button.querySelector("[data-label]") ?? button;
  const before = label.textContent;
  label.textContent = "Copied";
  setTimeout(() => (label.textContent = before), 1500);
});

document.addEventListener("click", (event) => {
  const closer = event.target.closest("[data-close]");
  if (closer) {
    event.preventDefault();
    closer.closest("dialog").close();
  }
});

// A dialog that came open with the page is opened again as one that keeps the focus inside.
for (const dialog of document.querySelectorAll("dialog[open][data-modal]")) {
  dialog.close();
  dialog.showModal();
}

document.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (event.target.dataset.confirm && !window.confirm(event.target.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (!button?.dataset.themeButton) return;
  event.preventDefault();
  document.documentElement.dataset.theme = button.value;
  await fetch("/console/theme", {
    method: "POST",
    body: new URLSearchParams({ theme: button.value }),
    redirect: "manual",
  });
});

// Signing out may delete what this browser keeps.
document.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-sign-out]")) return;
  event.preventDefault();
  try {
    const { leave } = await import("./store.js");
    await leave();
  } catch {
    if (!window.confirm("The images of your gallery could not be deleted. Sign out all the same?")) return;
  }
  event.target.submit();
});

document.addEventListener("htmx:before:request", (event) => {
  const source = event.detail?.ctx?.sourceElement;
  if (document.hidden && source?.hasAttribute?.("data-live")) event.preventDefault();
});

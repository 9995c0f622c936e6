// The dialog in which a mask is painted over an image: by mouse, pen, finger or keyboard.

import { drawStroke, drawStrokes, isBlank } from "./strokes.js";

const SCREEN_PIXELS = 1024; // the longer side of what is painted on; the mask itself gets the image's size
const COLOUR = "#ff2e88";
const PEN_ERASER = 32; // its bit among a pointer's buttons
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const dialog = document.querySelector("[data-mask]");
const part = (name) => dialog.querySelector(`[data-${name}]`);
const canvas = dialog?.querySelector("canvas");

let image = null; // what is painted on: { url, width, height }
let strokes = [];
let current = null; // the stroke that is being painted
let isErasing = false;
let at = [0, 0]; // where the brush is, in the image's pixels
let finish = null;

const longer = () => Math.max(image.width, image.height);
const brushWidth = () => (longer() * part("brush-size").value) / 200;
const screenScale = () => SCREEN_PIXELS / longer();

function redraw() {
  drawStrokes(canvas, strokes, screenScale(), COLOUR);
  showCount();
}

function showCount() {
  const count = strokes.filter((stroke) => !stroke.clears).length;
  part("strokes").textContent = count === 1 ? "1 stroke" : `${count} strokes`;
  part("undo").disabled = strokes.length === 0;
  part("clear").disabled = strokes.length === 0 || strokes.at(-1).clears === true;
}

function showBrush() {
  const { style } = part("ring");
  style.left = `${(100 * at[0]) / image.width}%`;
  style.top = `${(100 * at[1]) / image.height}%`;
  style.width = `${(100 * brushWidth()) / image.width}%`;
}

function choose(erases) {
  isErasing = erases;
  for (const button of dialog.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", String((button.dataset.tool === "eraser") === erases));
  }
}

function begin(erases) {
  current = { erases, width: brushWidth(), points: [at] };
  strokes.push(current);
  drawStroke(canvas.getContext("2d"), current);
  showCount();
}

function goOn() {
  current.points.push(at);
  drawStroke(canvas.getContext("2d"), current, current.points.length - 1);
}

function undo() {
  current = null;
  strokes.pop();
  redraw();
}

function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * image.width) / box.width,
    ((event.clientY - box.top) * image.height) / box.height,
  ];
}

function onPointer(event) {
  const moves = event.type === "pointermove" && event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const each of moves.length ? moves : [event]) {
    at = placeOf(each);
    if (current) goOn();
  }
  showBrush();
}

function onKey(event) {
  event.stopPropagation(); // the page's own keys would lead away
  const step = STEPS[event.key];
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
    event.preventDefault();
    if (strokes.length) undo();
  } else if (event.key.toLowerCase() === "e") {
    choose(!isErasing);
  } else if (event.key === "[" || event.key === "]") {
    part("brush-size").value = Number(part("brush-size").value) + (event.key === "]" ? 2 : -2);
    showBrush();
  } else if (event.target === canvas && step) {
    event.preventDefault();
    const moved = [0, 1].map((axis) => at[axis] + (step[axis] * brushWidth()) / 2);
    at = [Math.min(Math.max(moved[0], 0), image.width), Math.min(Math.max(moved[1], 0), image.height)];
    if (current) goOn();
    showBrush();
  } else if (event.target === canvas && event.key === " ") {
    event.preventDefault();
    if (!current) begin(isErasing);
  }
}

function end() {
  current = null;
}

// Opens the dialog over an image that may have strokes already. Gives the strokes, none where nothing is painted, and
// null where the mask stays as it was.
export function paint(target, earlier) {
  image = target;
  strokes = [...earlier];
  at = [image.width / 2, image.height / 2];
  const stage = part("stage");
  stage.style.aspectRatio = `${image.width} / ${image.height}`;
  stage.style.width = `min(100%, ${(55 * image.width) / image.height}vh)`;
  stage.style.backgroundImage = `url("${image.url}")`;
  canvas.width = Math.max(1, Math.round(image.width * screenScale()));
  canvas.height = Math.max(1, Math.round(image.height * screenScale()));
  choose(false);
  redraw();
  showBrush();
  dialog.showModal();
  canvas.focus();
  return new Promise((done) => (finish = done));
}

if (dialog) {
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 && event.buttons !== PEN_ERASER) return;
    canvas.setPointerCapture(event.pointerId);
    at = placeOf(event);
    begin(isErasing || event.buttons === PEN_ERASER);
    showBrush();
  });
  canvas.addEventListener("pointermove", onPointer);
  for (const name of ["pointerup", "pointercancel", "blur"]) canvas.addEventListener(name, end);
  canvas.addEventListener("keyup", (event) => event.key === " " && end());
  dialog.addEventListener("keydown", onKey);
  part("brush-size").addEventListener("input", showBrush);
  for (const button of dialog.querySelectorAll("[data-tool]")) {
    button.addEventListener("click", () => choose(button.dataset.tool === "eraser"));
  }
  part("undo").addEventListener("click", undo);
  part("clear").addEventListener("click", () => {
    strokes.push({ clears: true });
    redraw();
  });
  part("cancel").addEventListener("click", () => dialog.close());
  part("done").addEventListener("click", () => {
    finish(isBlank(canvas) ? [] : strokes);
    dialog.close();
  });
  dialog.addEventListener("close", () => finish(null)); // after "done" it says nothing new
}

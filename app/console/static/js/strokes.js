// A mask as strokes over an image: { erases, width, points: [[x, y], …] } in the image's pixels, or { clears: true }.
// Kept as lines, so that each can be undone and the mask gets the image's own size.

// Draws the points of a stroke from number `from` on; the first is a dot.
export function drawStroke(context, { erases, width, points }, from = 0) {
  context.globalCompositeOperation = erases ? "destination-out" : "source-over";
  context.lineCap = "round";
  context.lineJoin = "round";
  context.lineWidth = width;
  if (from === 0) {
    context.beginPath();
    context.arc(...points[0], width / 2, 0, 2 * Math.PI);
    context.fill();
  }
  context.beginPath();
  context.moveTo(...points[Math.max(from - 1, 0)]);
  for (const point of points.slice(Math.max(from, 1))) context.lineTo(...point);
  context.stroke();
}

// All strokes anew, on a canvas of `scale` times the image's size.
export function drawStrokes(canvas, strokes, scale, colour) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = colour;
  context.strokeStyle = colour;
  context.clearRect(0, 0, canvas.width / scale, canvas.height / scale);
  const start = strokes.findLastIndex((stroke) => stroke.clears) + 1;
  for (const stroke of strokes.slice(start)) drawStroke(context, stroke);
  return context;
}

// Whether nothing is painted: all of it may have been erased again.
export function isBlank(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 3; at < data.length; at += 4) if (data[at]) return false;
  return true;
}

// The mask as a PNG of that size: transparent where something is painted, which is what may change.
export async function maskOf(strokes, width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = drawStrokes(canvas, strokes, 1, "black");
  context.globalCompositeOperation = "source-out"; // black only where nothing was painted
  context.fillRect(0, 0, width, height);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error(`This browser cannot make a mask of ${width}x${height}. Use a mask file.`);
  return blob;
}

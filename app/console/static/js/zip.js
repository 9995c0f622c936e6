// A ZIP file of blobs, stored and not compressed, as images are compressed already. Each blob is read once, in pieces, for
// its check sum; the file itself refers to the blobs, so a large one is never in memory. Up to 4 GB and 65,535 files.

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

async function crc32(blob) {
  let sum = 0xffffffff;
  const reader = blob.stream().getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    for (const byte of chunk.value) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  }
  return (sum ^ 0xffffffff) >>> 0;
}

// Numbers with their sizes in bytes, the lowest byte first.
function packed(...pairs) {
  const bytes = pairs.flatMap(([size, value]) => Array.from({ length: size }, (_, place) => (value >>> (8 * place)) & 255));
  return Uint8Array.from(bytes);
}

// What a file's two heads have in common. Local time, to two seconds: the format has no other.
function fieldsOf(nameBytes, blob, sum, at) {
  const time = (at.getHours() << 11) | (at.getMinutes() << 5) | (at.getSeconds() >> 1);
  const date = ((at.getFullYear() - 1980) << 9) | ((at.getMonth() + 1) << 5) | at.getDate();
  const [version, isUtf8, stored] = [20, 0x0800, 0];
  return [
    ...[[2, version], [2, isUtf8], [2, stored], [2, time], [2, date], [4, sum], [4, blob.size], [4, blob.size]],
    ...[[2, nameBytes.length], [2, 0]],
  ];
}

// `files`: { name, blob, at }, with names that differ.
export async function zip(files) {
  const bodies = [];
  const entries = [];
  let [offset, entriesSize] = [0, 0];
  for (const { name, blob, at } of files) {
    const nameBytes = new TextEncoder().encode(name);
    const fields = fieldsOf(nameBytes, blob, await crc32(blob), at);
    const head = packed([4, 0x04034b50], ...fields);
    const entry = packed([4, 0x02014b50], [2, 20], ...fields, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]);
    bodies.push(head, nameBytes, blob);
    entries.push(entry, nameBytes);
    offset += head.length + nameBytes.length + blob.size;
    entriesSize += entry.length + nameBytes.length;
  }
  const count = files.length;
  const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, entriesSize], [4, offset], [2, 0]);
  return new Blob([...bodies, ...entries, end], { type: "application/zip" });
}

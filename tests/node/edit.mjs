// One call of images.edit: node edit.mjs '{"image": "a.png", "mask": "mask.png", "how": "stream"}'. `how`: stream is
// fs.createReadStream, blob a File made in memory, list two of them.
import fs from "node:fs";
import { toFile } from "openai";
import { client, fields, image, report } from "./common.mjs";

const { how, image: path, mask, ...asked } = fields({});

async function file(name) {
  return how === "stream" ? fs.createReadStream(name) : toFile(new Blob([fs.readFileSync(name)]), "a.png");
}

await report(async (result) => {
  const images = how === "list" ? [await file(path), await file(path)] : await file(path);
  const sent = { ...asked, image: images, ...(mask ? { mask: await file(mask) } : {}) };
  const answer = await client.images.edit(sent);
  if (asked.stream) {
    result.events = [];
    for await (const event of answer) result.events.push(event.type);
  } else {
    result.images = answer.data.map((item) => image(item.b64_json));
    result.usage = answer.usage;
  }
});

// One streamed call, read to its end: node stream.mjs '{"partial_images": 2}'
import { client, fields, image, report } from "./common.mjs";

await report(async (result) => {
  result.events = [];
  const stream = await client.images.generate(fields({ stream: true, partial_images: 2 }));
  for await (const event of stream) {
    result.events.push({ type: event.type, partial_image_index: event.partial_image_index ?? null, ...image(event.b64_json) });
    result.usage = event.usage ?? null;
  }
});

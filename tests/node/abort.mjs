// A streamed call that its user leaves after the first event.
import { client, fields, report } from "./common.mjs";

await report(async (result) => {
  result.seen = [];
  const stream = await client.images.generate(fields({ stream: true, partial_images: 3 }));
  for await (const event of stream) {
    result.seen.push(event.type);
    stream.controller.abort();
  }
  result.aborted = stream.controller.signal.aborted;
});

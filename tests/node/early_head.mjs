// openai-node over a fetch that waits three seconds for the head of an answer: Node's own, with another timeout.
import OpenAI from "openai";
import { Agent, fetch } from "undici";
import { fields, image, report } from "./common.mjs";

const dispatcher = new Agent({ headersTimeout: 3000 });
const client = new OpenAI({ maxRetries: 0, fetch: (url, options) => fetch(url, { ...options, dispatcher }) });

await report(async (result) => {
  const asked = fields({});
  const answer = await client.images.generate(asked);
  if (asked.stream) {
    result.events = [];
    for await (const event of answer) result.events.push(event.type);
  } else {
    result.images = answer.data.map((each) => image(each.b64_json));
    result.tokens = answer.usage.total_tokens;
  }
});
await dispatcher.close();

// openai-node with a short time-out and two retries: node retry.mjs '{"prompt": "…"}'
import OpenAI from "openai";
import { fields, image, report } from "./common.mjs";

const client = new OpenAI({ timeout: 1000, maxRetries: 2 });

await report(async (result) => {
  const answer = await client.images.generate(fields({}));
  result.images = answer.data.map((item) => image(item.b64_json));
});

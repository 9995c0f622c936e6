// openai-node asks once for one image, as it comes: node ask.mjs openai-7. The rest is in the environment, as
// tests/retries/scripts/asking.py says.
import fs from "node:fs";
import { asked, report } from "./asking.mjs";

const name = process.argv[2];
const { default: OpenAI } = await import(name);
const { version } = JSON.parse(fs.readFileSync(`node_modules/${name}/package.json`));

await report(version, async () => {
  const client = new OpenAI({ timeout: asked.seconds * 1000 });
  const answer = await client.images.generate({ model: "gpt-image-2", prompt: asked.prompt, size: "1024x1024", quality: "low" });
  return answer.data[0].b64_json;
});

// The Vercel AI SDK asks once for one image. It has no time-out for a try: that of its fetch, for the head, stands for it.
import fs from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";
import { Agent } from "undici";
import { asked, report } from "./asking.mjs";

const { version } = JSON.parse(fs.readFileSync("node_modules/ai/package.json"));
const dispatcher = new Agent({ headersTimeout: asked.seconds * 1000 });
const openai = createOpenAI({
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  fetch: (url, options) => fetch(url, { ...options, dispatcher }),
});

await report(version, async () => {
  const { image } = await generateImage({
    model: openai.image("gpt-image-2"),
    prompt: asked.prompt,
    size: "1024x1024",
    providerOptions: { openai: { quality: "low" } },
  });
  return image.base64;
});

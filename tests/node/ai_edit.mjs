// One call of the Vercel AI SDK's generateImage with images: node ai_edit.mjs '{"images": ["a.png"], "mask": "mask.png"}'
import fs from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";
import { image, report } from "./common.mjs";

const { images, mask, ...asked } = JSON.parse(process.argv[2]);
const read = (name) => fs.readFileSync(name);
const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });

await report(async (result) => {
  const answer = await generateImage({
    model: openai.image("gpt-image-2"),
    prompt: { text: "Make it snow", images: images.map(read), ...(mask ? { mask: read(mask) } : {}) },
    size: "1024x1024",
    maxRetries: 0,
    providerOptions: { openai: { quality: "low" } },
    ...asked,
  });
  result.images = answer.images.map((made) => image(made.base64));
});

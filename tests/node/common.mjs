// What the scripts share. The gateway and the key come from OPENAI_BASE_URL and OPENAI_API_KEY, which the SDK reads
// by itself: the client below is what a user writes, but for a fetch that counts what really went out.
import OpenAI from "openai";

export const sent = []; // one entry a HTTP request: retries show here

export const client = new OpenAI({
  fetch: async (url, options) => {
    sent.push({ method: options.method, path: new URL(url).pathname });
    return fetch(url, options);
  },
});

// Fields of the request, as JSON in the first argument, over sane ones.
export function fields(defaults) {
  return { model: "gpt-image-2", prompt: "a lighthouse", size: "1024x1024", quality: "low", ...defaults, ...JSON.parse(process.argv[2] ?? "{}") };
}

// An image without its pixels: how big it is and how it begins.
export function image(b64) {
  const bytes = Buffer.from(b64, "base64");
  return { bytes: bytes.length, begins: bytes.subarray(0, 8).toString("hex") };
}

// An exception as the SDK shows it to its user.
export function told(error) {
  return {
    class: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    param: error.param ?? null,
    message: error.message,
    request_id: error.requestID ?? null,
  };
}

// Runs `work(result)`, which fills `result` as it goes, and prints as one line of JSON what it filled, the error it met
// or null, and how many requests went out.
export async function report(work) {
  const started = Date.now();
  const result = {};
  let error = null;
  try {
    await work(result);
  } catch (caught) {
    error = told(caught);
  }
  console.log(JSON.stringify({ result, error, requests: sent.length, seconds: (Date.now() - started) / 1000 }));
}

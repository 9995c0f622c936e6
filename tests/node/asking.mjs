// What scripts share that ask once for one image: the same as tests/retries/scripts/asking.py.
export const asked = { prompt: process.env.ASK_PROMPT, seconds: Number(process.env.ASK_SECONDS) };

export async function report(version, draw) {
  let has_image = false;
  let error = null;
  // Nothing is left to wait for, and no answer came.
  process.on("beforeExit", () => {
    console.log(JSON.stringify({ version, has_image, error: "the call never ends" }));
    process.exit(0);
  });
  try {
    has_image = Buffer.from(await draw(), "base64").subarray(0, 8).toString("hex") === "89504e470d0a1a0a";
  } catch (caught) {
    error = `${caught.constructor.name}: ${caught.message}`.slice(0, 300);
  }
  console.log(JSON.stringify({ version, has_image, error }));
  process.exit(0); // connections that are kept open would keep Node here
}

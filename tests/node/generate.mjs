// One call of images.generate: node generate.mjs '{"n": 2}'
import { client, fields, image, report } from "./common.mjs";

await report(async (result) => {
  const answer = await client.images.generate(fields({}));
  Object.assign(result, {
    request_id: answer._request_id,
    created: answer.created,
    size: answer.size,
    quality: answer.quality,
    output_format: answer.output_format,
    usage: answer.usage,
    images: answer.data.map((item) => image(item.b64_json)),
  });
});

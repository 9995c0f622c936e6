// The models this key may use, as the SDK lists and retrieves them.
import { client, report } from "./common.mjs";

await report(async (result) => {
  result.ids = [];
  for await (const model of client.models.list()) result.ids.push(model.id);
  const { id, object, owned_by } = await client.models.retrieve(result.ids[0]);
  result.first = { id, object, owned_by };
});

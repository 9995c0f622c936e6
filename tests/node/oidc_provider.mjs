// The certified oidc-provider with people of the test's own, on the port that is asked for; it prints its address when it
// answers.
// Claims about groups stand in the ID token; with "userinfo" they are only told when asked.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const asked = JSON.parse(process.argv[2]);
const server = createServer();
await new Promise((resolve) => server.listen(asked.port, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    { client_id: "gateway", client_secret: "not-a-secret", redirect_uris: asked.redirect_uris },
    { client_id: "public", token_endpoint_auth_method: "none", redirect_uris: asked.redirect_uris },
  ],
  claims: { profile: ["preferred_username"], email: ["email", "email_verified"], groups: ["groups"] },
  conformIdTokenClaims: asked.userinfo ?? false,
  cookies: { keys: ["of a test"] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...asked.people[id] }) }),
});
server.on("request", provider.callback());
process.stdout.write(`${issuer}\n`);

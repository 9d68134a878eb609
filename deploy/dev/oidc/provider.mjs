// A real OpenID provider for the tests: `oidc-provider`, which is certified, with its own pages for signing in.
// usage: provider.mjs REDIRECT_URI CLIENT_ID CLIENT_SECRET
// Prints {"issuer": …} once it listens on a free port of the loopback, and ends when its standard input does.
// Whoever signs in as NAME is NAME@example.com; the address of a name that begins with "unverified" is not verified.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import Provider from "oidc-provider";

// What it says of itself (that it is for development) is known, and nobody reads standard output after the first line.
console.info = console.warn = () => {};

const [redirectUri, clientId, clientSecret] = process.argv.slice(2);
if (!clientSecret) {
  console.error("usage: provider.mjs REDIRECT_URI CLIENT_ID CLIENT_SECRET");
  process.exit(2);
}

const account = (name) => ({
  accountId: name,
  claims: () => ({
    sub: name,
    name,
    email: `${name}@example.com`,
    email_verified: !name.startsWith("unverified"),
  }),
});

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    claims: { email: ["email", "email_verified"], profile: ["name"] },
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: [redirectUri] }],
    cookies: { keys: [randomBytes(16).toString("hex")] },
    findAccount: (_, name) => account(name),
    pkce: { required: () => true },
  });
  server.on("request", provider.callback());
  console.log(JSON.stringify({ issuer }));
});

process.stdin.resume().on("end", () => process.exit(0));

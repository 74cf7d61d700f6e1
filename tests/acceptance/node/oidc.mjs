// npm `oidc-provider` on a loopback port, driven over standard input as client.mjs is.
// Clients: `app` gets tokens for itself, `gate` introspects. Resource `urn:jwt` has signed tokens, `urn:opaque` opaque ones.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const secrets = { app: 'app-secret-of-enough-characters', gate: process.argv[2] ?? 'gate-secret' };
const server = createServer((request, response) => {
  requests.push(request.url);
  handler(request, response);
});
const requests = [];
const sessions = new WeakMap();
const jwks = { keys: [] };
let issuer;
let logoutUri;
let provider;
let handler;

const formats = { 'urn:jwt': 'jwt', 'urn:opaque': 'opaque' };

function build() {
  provider = new Provider(issuer, {
    clients: Object.entries(secrets).map(([client_id, client_secret]) => ({
      client_id,
      client_secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      ...(logoutUri && { backchannel_logout_uri: logoutUri, backchannel_logout_session_required: true }),
    })),
    jwks,
    scopes: ['chat'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => ({
          scope: 'chat',
          audience: resource,
          accessTokenTTL: 600,
          accessTokenFormat: formats[resource],
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    // Its guard against inner networks would keep it from this machine.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    formats: {
      customizers: {
        jwt: (context, token, { payload }) => Object.assign(payload, sessions.has(token) && { sid: sessions.get(token) }),
      },
    },
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  });
  handler = provider.callback();
}

function key(kid) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
}

const operations = {
  // A new key signs from here on; `keep` says whether the ones before are still published.
  rotate({ kid, keep }) {
    jwks.keys = [key(kid), ...(keep ? jwks.keys : [])];
    build();
    return {};
  },
  // A token of `app` for itself, asked for over HTTP as any client would.
  async token({ resource }) {
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `Basic ${btoa(`app:${secrets.app}`)}`,
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'chat', resource }),
    });
    const answer = await response.json();
    if (!answer.access_token) throw new Error(JSON.stringify(answer));
    return { token: answer.access_token };
  },
  // An opaque token of a user.
  async user({ subject, seconds }) {
    const client = await provider.Client.find('app');
    const grant = new provider.Grant({ accountId: subject, clientId: 'app' });
    grant.addOIDCScope('openid');
    const token = new provider.AccessToken({
      accountId: subject,
      client,
      grantId: await grant.save(),
      gty: 'authorization_code',
      scope: 'openid',
      claims: {},
      expiresIn: seconds,
    });
    return { token: await token.save() };
  },
  // A signed token of a user, in a session.
  async signed({ subject, sid, seconds }) {
    const client = await provider.Client.find('app');
    const grant = new provider.Grant({ accountId: subject, clientId: 'app' });
    grant.addResourceScope('urn:jwt', 'chat');
    const token = new provider.AccessToken({
      accountId: subject,
      client,
      grantId: await grant.save(),
      gty: 'authorization_code',
      scope: 'chat',
      expiresIn: seconds,
    });
    sessions.set(token, sid);
    token.resourceServer = new provider.ResourceServer('urn:jwt', {
      scope: 'chat', audience: 'urn:jwt', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
    });
    return { token: await token.save() };
  },
  // From here on the provider tells this address who signs out.
  async tells({ uri }) {
    logoutUri = uri;
    build();
    return {};
  },
  // A user signs out; the provider tells it by its own means. The status is what it was answered.
  async logout({ subject, sid }) {
    const client = await provider.Client.find('app');
    try {
      await client.backchannelLogout(subject, sid);
      return { status: 200 };
    } catch (error) {
      return { status: error.response?.status ?? 0, error: String(error) };
    }
  },
  async revoke({ token }) {
    await (await provider.AccessToken.find(token)).destroy();
    return {};
  },
  seen() {
    return { requests };
  },
};

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  operations.rotate({ kid: 'first', keep: false });
  console.log(JSON.stringify({ ready: issuer }));
});

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const { call, op, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = await operations[op](rest);
    } catch (error) {
      answer = { failed: String(error.stack ?? error) };
    }
    console.log(JSON.stringify({ call, ...answer }));
  })
  .on('close', () => process.exit(0));

// npm `ws` and Node's crypto, driven over standard input: one JSON request a line, one JSON answer a line.
import { createInterface } from 'node:readline';
import { generateKeyPairSync, sign } from 'node:crypto';
import { WebSocket } from 'ws';

const sockets = new Map();
const keys = new Map();
let last = 0;

const b64u = (value) => Buffer.from(value).toString('base64url');

const operations = {
  // Opens a socket: {id, protocol, extensions} or {refused: status, headers, body} or {error}.
  open({ url, protocols, headers, deflate }) {
    return new Promise((resolve) => {
      const options = { headers, maxPayload: 0 };
      if (deflate !== null && deflate !== undefined) options.perMessageDeflate = deflate;
      const socket = new WebSocket(url, protocols ?? [], options);
      const state = { socket, events: [], waiting: [] };
      const push = (event) => (state.waiting.length ? state.waiting.shift()(event) : state.events.push(event));
      socket.on('open', () => {
        const id = ++last;
        sockets.set(id, state);
        resolve({ id, protocol: socket.protocol, extensions: socket.extensions });
      });
      socket.on('unexpected-response', (request, response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve({ refused: response.statusCode, headers: response.headers, body }));
      });
      socket.on('error', (error) => resolve({ error: error.message }));
      socket.on('message', (data, binary) => push(binary ? { binary: data.toString('base64') } : { text: data.toString() }));
      socket.on('pong', (data) => push({ pong: data.toString() }));
      socket.on('close', (code, reason) => push({ closed: code, reason: reason.toString() }));
    });
  },
  send({ id, text, binary, fragments, compress }) {
    const { socket } = sockets.get(id);
    if (fragments) {
      fragments.forEach((part, at) => socket.send(part, { fin: at === fragments.length - 1, binary: false, compress: compress ?? false }));
    } else if (binary !== undefined) socket.send(Buffer.from(binary, 'base64'));
    else socket.send(text);
    return {};
  },
  ping({ id, text }) {
    sockets.get(id).socket.ping(text);
    return {};
  },
  next({ id }) {
    const state = sockets.get(id);
    if (state.events.length) return state.events.shift();
    return new Promise((resolve) => state.waiting.push(resolve));
  },
  close({ id, code, reason }) {
    sockets.get(id).socket.close(code, reason);
    return {};
  },
  // An RSA or EC key pair under a key id; gives the public half as a JWK.
  key({ kid, kind }) {
    const pair = kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 });
    keys.set(kid, pair.privateKey);
    return { jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: kind === 'ec' ? 'ES256' : 'RS256' } };
  },
  // A token signed with such a key.
  jwt({ kid, claims }) {
    const key = keys.get(kid);
    const alg = key.asymmetricKeyType === 'ec' ? 'ES256' : 'RS256';
    const input = `${b64u(JSON.stringify({ alg, typ: 'JWT', kid }))}.${b64u(JSON.stringify(claims))}`;
    const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    return { token: `${input}.${signature.toString('base64url')}` };
  },
};

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

// An echo backend made of npm `ws`, with nothing set but what the command line says.
// Prints {"port":N}, then one line for each handshake: {"url":…,"headers":…,"protocol":…,"extensions":…}.
import { WebSocketServer } from 'ws';

const options = JSON.parse(process.argv[2] ?? '{}');
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 256 << 20, ...options });
server.on('listening', () => console.log(JSON.stringify({ port: server.address().port })));
server.on('connection', (socket, request) => {
  console.log(JSON.stringify({ url: request.url, headers: request.headers, protocol: socket.protocol, extensions: socket.extensions }));
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    // `close 3001 reason` makes the backend close, `die` ends the TCP connection without a word.
    const text = binary ? '' : data.toString();
    const wish = /^close (\d+) ?(.*)$/.exec(text);
    if (wish) socket.close(Number(wish[1]), wish[2]);
    else if (text === 'die') socket.terminate();
    else socket.send(data, { binary });
  });
  socket.on('close', (code, reason) => console.log(JSON.stringify({ closed: code, reason: reason.toString() })));
  socket.on('pong', (data) => console.log(JSON.stringify({ pong: data.toString() })));
});

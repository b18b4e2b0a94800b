// Serves one file at / and hands everything else to a running `fathom serve`, streams included.
import { createServer, request } from 'node:http';

/** page: () => the text to serve. Resolves to the listening server. */
export function startProxy({ page, target, port = 0 }) {
  const to = new URL(target);
  const server = createServer(async (from, answer) => {
    if (from.method === 'GET' && (from.url === '/' || from.url.startsWith('/?'))) {
      answer.writeHead(200, {
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
      });
      answer.end(await page());
      return;
    }
    const headers = { ...from.headers, host: to.host };
    delete headers.origin; // of this proxy: the server knows its own only
    const forward = request(
      { host: to.hostname, port: to.port, method: from.method, path: from.url, headers },
      (back) => {
        answer.writeHead(back.statusCode, back.headers);
        back.on('error', () => answer.destroy());
        back.pipe(answer);
      },
    );
    forward.on('error', () => answer.destroy());
    answer.on('close', () => forward.destroy()); // a page that leaves ends the server's work
    from.pipe(forward);
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

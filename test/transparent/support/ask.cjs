// An ordinary client, in CommonJS: asks over six kept connections, and prints who answered. Who looks at it from outside can have it go on for a while.
const http = require('node:http');

const [port, host = '127.0.0.1', rounds = '5'] = process.argv.slice(2);
const agents = Array.from({ length: 6 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));

const ask = (agent) =>
  new Promise((resolve, reject) => {
    const request = http.request({ port, host, agent, method: 'POST' }, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end('x'.repeat(1000));
  });

(async () => {
  const answers = new Set();
  for (let i = 0; i < Number(rounds) || globalThis.goOn?.(); i++) {
    for (const answer of await Promise.all(agents.map(ask))) answers.add(answer);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  console.log([...answers].sort().join());
  for (const agent of agents) agent.destroy();
})();

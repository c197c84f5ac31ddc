// An ordinary client: four kept connections that ask all the time, and check each answer. Until interrupted.
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';

const CONNECTIONS = 4;
const port = Number(process.env.PORT ?? 8080);
const sockets = new Set();
let going = true;
let answers = 0;
let wrong = 0;

function ask(agent, list) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const asked = request(
      { port, host: '127.0.0.1', path: '/sum', method: 'POST', agent, headers },
      (answer) => {
        sockets.add(answer.socket);
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part) => {
          text += part;
        });
        answer.on('end', () => resolve(JSON.parse(text).sum));
      },
    );
    asked.on('error', reject);
    asked.end(JSON.stringify(list));
  });
}

async function work() {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let n = 0; going; n++) {
    const list = Array.from({ length: 1 + (n % 500) }, (_, i) => i * n);
    const sum = createHash('sha256').update(JSON.stringify(list)).digest('hex');
    if ((await ask(agent, list)) !== sum) wrong++;
    answers++;
  }
  agent.destroy();
}

const timer = setInterval(() => console.log(`${answers} answers`), 1000);
process.once('SIGINT', () => {
  going = false;
});
await Promise.all(Array.from({ length: CONNECTIONS }, work));
clearInterval(timer);
console.log(`${answers} answers, ${wrong} wrong, over ${sockets.size} connections`);

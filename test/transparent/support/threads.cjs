// Servers and clients in worker threads, in CommonJS: prints what each thread was told.
const http = require('node:http');
const { isMainThread, parentPort, Worker, workerData } = require('node:worker_threads');

const get = (port) =>
  new Promise((resolve, reject) => {
    const request = http.get(
      { port, host: '127.0.0.1', agent: new http.Agent({ keepAlive: true }) },
      (response) => {
        let text = '';
        response.on('data', (data) => {
          text += data;
        });
        response.on('end', () => resolve(text));
      },
    );
    request.on('error', reject);
  });

async function ask(port) {
  const answers = [];
  for (let i = 0; i < 5 || globalThis.goOn?.(); i++) {
    answers.push(await get(port));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return [...new Set(answers)].join();
}

if (!isMainThread) ask(workerData).then((text) => parentPort.postMessage(text));
else {
  const ports = process.argv.slice(2).map(Number);
  for (const port of ports) {
    new Worker(__filename, { workerData: port })
      .on('message', (text) => console.log(text))
      .on('error', (error) => console.log(error.stack));
  }
}

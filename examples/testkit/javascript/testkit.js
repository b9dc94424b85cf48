// Drives `bondy testkit`: one JSON object a line, there and back. Copy it into your own tests.
const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

exports.startTestkit = () => {
  const [command, ...args] = (process.env.BONDY_TESTKIT ?? 'bondy testkit').split(' ');
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map();
  let id = 0;

  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line);
    const { resolve, reject } = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) reject(new Error(answer.error));
    else resolve(answer.ok);
  });
  child.on('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('bondy testkit has ended'));
  });

  const kit = (name, fields = {}) =>
    new Promise((resolve, reject) => {
      waiting.set(++id, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id, do: name, ...fields })}\n`);
    });
  kit.end = () => child.stdin.end();
  return kit;
};

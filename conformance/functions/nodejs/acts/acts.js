'use strict';
let running = 0;
let most = 0;
const importEnv = { ...process.env };
const kindsOf = (event) => {
  if (typeof event === 'string') return 'text';
  return event instanceof Uint8Array ? 'bytes' : 'json';
};
const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason); });
});
const traces = () => [
  ...Object.keys(require.cache).filter((file) => file !== __filename),
  ...Object.keys(process.env).filter((name) => /WARMPOOL|REHEARS/.test(name)),
  ...Object.getOwnPropertyNames(globalThis).filter((name) => /warmpool|rehears|pending/i.test(name)),
  ...Object.getOwnPropertySymbols(globalThis).filter((key) => key !== Symbol.toStringTag).map(String),
  ...(require.main ? ['require.main'] : []),
  ...require('node:fs').readdirSync('..').filter((name) => /rehears/i.test(name)),
  ...process.argv.slice(2),
  ...process.execArgv,
];
const actions = {
  echo: (event, context) => {
    const { requestId, deadlineUnixMs, claimId, service, http } = context;
    const facts = { requestId, deadlineUnixMs, claimId, service, http, function: context.function };
    return { event, context: { ...facts, remainingTimeMs: context.remainingTimeMs() } };
  },
  env: () => ({ ...process.env }),
  importEnv: () => importEnv,
  where: () => ({ cwd: process.cwd(), argv: process.argv }),
  hour: () => ({ hour: new Date(0).getHours() }),
  log: ({ text }) => { console.log(text); console.error('error: ' + text); },
  longLine: ({ sizeBytes }) => { process.stdout.write('x'.repeat(sizeBytes) + '\n'); },
  throw: ({ message }) => { throw new Error(message); },
  wait: async ({ ms }, { signal }) => { await pause(ms, signal); return { waited: ms }; },
  stubborn: async ({ ms }) => { console.log('stubborn'); await pause(ms); return { waited: ms }; },
  spin: () => { for (;;); },
  exit: ({ exitCode }) => process.exit(exitCode),
  respond: ({ reply }) => reply,
  nothing: () => undefined,
  bytes: ({ sizeBytes }) => Buffer.alloc(sizeBytes, 7),
  traces,
  write: ({ text }) => { process.stdout.write(text); },
  rubbish: () => { process.stdout.write(Buffer.from([0, 255, 254, 0xc3, 10])); },
  logTwice: async ({ text, ms }, { signal }) => { console.log(`${text} begins`); await pause(ms, signal); console.log(`${text} ends`); },
  overlap: async ({ ms }) => {
    running += 1;
    most = Math.max(most, running);
    await pause(ms);
    running -= 1;
    return { most };
  },
  stream: async function* ({ pieces, ms, failsAfter }) {
    for (const [index, piece] of pieces.entries()) {
      if (index === failsAfter) throw new Error('the source dried up');
      if (index > 0) await pause(ms);
      yield piece;
    }
  },
};
exports.run = (event, context) => {
  if (typeof event !== 'object' || event === null || Array.isArray(event) || event instanceof Uint8Array) {
    return { type: kindsOf(event), length: event?.length ?? 0 };
  }
  return actions[event.act ?? 'echo'](event, context);
};

'use strict';
const { spawn } = require('node:child_process');
const fs = require('node:fs');

const acts = {
  nothing: () => ({ did: 'nothing' }),
  forkBomb: async () => {
    for (;;) {
      await new Promise((resolve, reject) => {
        const child = spawn('sleep', ['60']);
        child.once('spawn', resolve);
        child.once('error', reject);
      });
    }
  },
  hogMemory: () => {
    const held = [];
    for (;;) held.push(Buffer.alloc(8 * 1024 * 1024, 1));
  },
  closeFiles: async () => {
    for (let fd = 0; fd < 256; fd++) {
      try {
        fs.closeSync(fd);
      } catch {}
    }
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  },
  scribble: () => {
    for (let fd = 3; fd < 64; fd++) {
      try {
        fs.writeSync(fd, '\0rubbish }{ HTTP/9\r\n');
      } catch {}
    }
    return 'scribbled';
  },
  exits: () => process.exit(0),
  stopItself: () => process.kill(process.pid, 'SIGSTOP'),
  replaceGlobals: () => {
    const names = `AbortController Array Atomics BigInt Buffer Date Error JSON Map Math Number Object Promise Reflect Set String
      Symbol TypeError URL URLSearchParams Uint8Array clearInterval clearTimeout performance queueMicrotask setImmediate
      setInterval setTimeout structuredClone`;
    for (const name of names.split(/\s+/))
      globalThis[name] = () => {
        throw 'replaced';
      };
    process.exit =
      process.reallyExit =
      process.cwd =
      process.hrtime =
        () => {
          throw 'replaced';
        };
    console.log = () => {
      throw 'replaced';
    };
    return 'replaced';
  },
};
exports.handler = (event) => acts[event.does]();

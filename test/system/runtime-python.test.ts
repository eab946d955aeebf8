import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { pythonFixtures } from '../contract/runtime-agent/fixtures.ts';
import { runtimeContract } from '../contract/runtime-agent/suite.ts';
import { aWay, answersOk } from './fixtures-python/fixtures.ts';
import {
  isAlive,
  PYTHON_FOLDER,
  pythonRuntime,
  startPython,
  terminationOf,
  until,
} from './fixtures-python/python-process.ts';
import type { PythonProcess } from './fixtures-python/python-process.ts';

const runtime = await pythonRuntime();
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`the Python runtime is NOT tested on this machine: ${missing}`);

if (missing === undefined) runtimeContract(runtime as PresentRuntime);

const ECHO = `def handler(event, context):
    return context.http["path"] + " " + (event if isinstance(event, str) else "")
`;

describe.skipIf(missing !== undefined)('functions in Python', () => {
  const present = runtime as PresentRuntime;
  const started: PythonProcess[] = [];
  const python = async (env?: Record<string, string>): Promise<PythonProcess> => {
    const process = await startPython(present, env);
    started.push(process);
    return process;
  };
  const loaded = async (way: string, fields?: Record<string, unknown>): Promise<PythonProcess> => {
    const process = await python();
    const answer = await process.load(aWay(way), fields);
    expect(answer.text).toContain('"ready"');
    return process;
  };
  const withTimeout = (requestTimeoutMs: number) => ({ limits: { requestTimeoutMs, initTimeoutMs: 10_000 } });

  afterEach(async () => {
    await Promise.all(started.splice(0).map((process) => process.stop()));
  });

  it('that begin to wait in the very moment of a kill heed it: the signal came before the wait could be interrupted', async () => {
    const process = await python();
    // what it waits for is gone through without a look at signals, and only then does it wait
    const deaf = `import signal
def handler(event, context):
    signals = [signal.SIGHUP] * 20_000_000
    print("began")
    signal.sigtimedwait(signals, 60)
`;
    await process.load({ handler: 'index.handler', files: { 'index.py': deaf } });
    const answer = process.invoke({}, { 'x-request-id': 'deaf' });
    await until(() => process.output().includes('began'), 'the request to begin');
    await process.post('/v1/kill', { requestId: 'deaf', graceMs: 10_000 });
    expect(await answer).toMatchObject({ status: 502, body: { code: 'RequestKilled' } });
    expect((await process.get('/v1/health')).body['state']).toBe('ready');
  });

  describe('async handlers', () => {
    it('run on one event loop for the life of the process, so that clients can be kept', async () => {
      const process = await loaded('answer_later');
      await process.invoke({});
      expect((await process.invoke({})).body).toEqual({ sameLoop: true });
    });

    it.each(['wait_long', 'spin_long'])(
      'that do not end (%s) are stopped by a kill and the process goes on',
      async (way) => {
        const process = await loaded(way);
        for (const id of ['first', 'second']) {
          const answer = process.invoke({}, { 'x-request-id': id });
          await until(() => process.output().includes(`began ${id}`), 'the request to begin');
          await process.post('/v1/kill', { requestId: id });
          expect(await answer).toMatchObject({ status: 502, body: { code: 'RequestKilled' } });
        }
        if (way === 'wait_long') expect(await process.linesOf('second')).toEqual(['began second', 'cleaned up']);
        expect((await process.get('/v1/health')).body['state']).toBe('ready');
      },
    );

    it('may clean up when their deadline passes', async () => {
      const process = await loaded('wait_long', withTimeout(200));
      expect(await process.invoke({})).toMatchObject({ status: 504, body: { code: 'RequestTimeout' } });
      expect(await process.exited).toBe(1);
      expect(process.output()).toContain('cleaned up');
    });
  });

  describe('the import path', () => {
    it.each([
      'vendor',
      'python',
      'site-packages',
      ...['.venv/', 'venv/', 'python/', ''].map(
        (folder) => `${folder}lib/python${(runtime as PresentRuntime).version}/site-packages`,
      ),
    ])('finds packages in the code folder %s', async (folder) => {
      const process = await python();
      const files = {
        'index.py': 'import wheel_of_fortune\ndef handler(event, context):\n    return wheel_of_fortune.PRIZE\n',
        [`${folder}/wheel_of_fortune/__init__.py`]: 'PRIZE = "a car"\n',
      };
      await process.load({ handler: 'index.handler', files });
      expect((await process.invoke({})).text).toBe('a car');
    });

    it('takes PYTHONPATH of the claim, and handlers in sub-folders that import their neighbours', async () => {
      const process = await python();
      const files = {
        'src/main.py':
          'import extra\nfrom . import near\ndef run(event, context):\n    return [extra.NAME, near.NAME]\n',
        'src/near.py': 'NAME = "near"\n',
        'lib/extra.py': 'NAME = "extra"\n',
      };
      const env = { PYTHONPATH: path.join(process.folder, 'code', 'lib') };
      expect((await process.load({ handler: 'src/main.run', files }, { env })).status).toBe(200);
      expect((await process.invoke({})).text).toBe('["extra","near"]');
    });

    it("prefers the code's own module to a standard one of the same name, as a fresh interpreter would", async () => {
      const process = await python();
      const files = {
        'index.py': 'import queue, json\ndef handler(event, context):\n    return [queue.OWN, json.dumps({})]\n',
        'queue.py': 'OWN = "mine"\n',
      };
      await process.load({ handler: 'index.handler', files });
      expect((await process.invoke({})).text).toBe('["mine","{}"]');
    });

    it('writes no bytecode, neither beside the code nor beside the agent', async () => {
      const process = await python();
      await process.load({
        handler: 'index.handler',
        files: { 'index.py': `import other\n${answersOk}`, 'other.py': '' },
      });
      await process.invoke({});
      const files = [
        ...(await readdir(path.join(process.folder, 'code'))),
        ...(await readdir(PYTHON_FOLDER, { recursive: true })),
      ];
      expect(files.filter((file) => file.includes('__pycache__'))).toEqual([]);
    });
  });

  describe('a module', () => {
    it('is not the main program when it is imported for its handler, and is when it is run', async () => {
      const guarded = `import os, socket
STARTED = []
def handler(event, context):
    return [__name__, STARTED]
if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    while listener.accept()[0].recv(1) != b"x":
        pass
`;
      const files = { 'server.py': guarded };
      const imported = await python();
      await imported.load({ handler: 'server.handler', files });
      expect((await imported.invoke({})).text).toBe('["server",[]]');
      const run = await python();
      const answer = await run.load({
        handler: 'server.py',
        files: { 'server.py': `${guarded}\nprint("as", __name__)\n` },
      });
      expect(answer.status).toBe(200);
      await run.raw(['x']).catch(() => '');
      await until(() => run.output().includes('as __main__'), 'the program to end');
    });

    it('may start threads and set signal handlers when it is imported: both live on between the calls', async () => {
      const process = await python();
      const busy = `import os, signal, threading, time
seen, ticks = [], []
signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(number))
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    if event.get("raise"):
        os.kill(os.getpid(), signal.SIGUSR2)
    return {"ticks": len(ticks), "seen": len(seen)}
`;
      await process.load({ handler: 'index.handler', files: { 'index.py': busy } });
      const first = Number((await process.invoke({})).body['ticks']);
      await process.invoke({ raise: true });
      let last: Record<string, unknown> = {};
      const deadline = Date.now() + 5_000;
      while (Number(last['ticks'] ?? 0) <= first && Date.now() < deadline) last = (await process.invoke({})).body;
      expect(Number(last['ticks'])).toBeGreaterThan(first);
      expect(last['seen']).toBe(1);
    });
  });

  describe('identity', () => {
    it('reaches subprocesses: they see the claim and nothing of the container', async () => {
      const process = await loaded('subprocess_env', { env: { GREETING: 'hello', TZ: 'Asia/Tokyo' } });
      const { body } = await process.invoke({});
      const env = JSON.parse(String(body['env'])) as Record<string, string>;
      expect(env).toMatchObject({ GREETING: 'hello', TZ: 'Asia/Tokyo', PORT: String(process.port) });
      expect(Object.keys(env).filter((name) => name.includes('WARMPOOL') || name === 'CONTAINER_ONLY')).toEqual([]);
    });

    it('has its time zone in effect at once', async () => {
      const process = await python({ TZ: 'UTC' });
      await process.load(pythonFixtures.acts, { env: { TZ: 'Asia/Tokyo' } });
      expect((await process.invoke({ act: 'hour' })).body).toEqual({ hour: 9 });
    });

    it('is without a trace of the agent and its rehearsal', async () => {
      const process = await python();
      await process.load(pythonFixtures.acts);
      expect((await process.invoke({ act: 'traces' })).text).toBe('[]');
    });
  });

  describe('output', () => {
    it('that bypasses sys.stdout, or comes from a subprocess, belongs to its request', async () => {
      const process = await loaded('write_natively');
      await process.invoke({}, { 'x-request-id': 'r1' });
      expect((await process.linesOf('r1')).sort()).toEqual(['from a subprocess', 'native error', 'native out']);
      await until(() => process.output().includes('native out'), 'the output to be passed on');
    });

    it('of threads, and without an end of line, is complete when the answer is there', async () => {
      const process = await loaded('print_in_threads');
      await process.invoke({}, { 'x-request-id': 'r1' });
      const lines = await process.linesOf('r1');
      expect(lines.filter((line) => line.startsWith('thread'))).toHaveLength(5);
      expect(lines).toContain('no line end');
    });

    it('larger than a pipe holds neither blocks the request nor grows without bound', async () => {
      const process = await loaded('many_lines');
      expect((await process.invoke({ lines: 20_000 }, { 'x-request-id': 'r1' })).status).toBe(204);
      const lines = await process.linesOf('r1');
      expect(lines.at(-1)).toMatch(/^line 19999 /);
      expect(lines.join('\n').length).toBeLessThan(256 * 1024);
    });
  });

  describe('results', () => {
    it('may repeat a header and carry a JSON body', async () => {
      const process = await loaded('two_cookies');
      const answer = await process.onPort('PATCH', '/any/path?x=1', '');
      expect(answer).toMatchObject({ status: 201, body: { made: true } });
      expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2']);
    });

    it.each([
      ['object', /cannot be sent as JSON: Object of type object/],
      ['nan', /cannot be sent as JSON/],
    ])('that are not JSON (%s) are the fault of the function, said in words', async (kind, words) => {
      const process = await loaded('bad_result');
      const { status, body } = await process.invoke({ kind });
      expect(status).toBe(502);
      expect(body['message']).toMatch(words);
    });

    it('cannot smuggle a header in another one', async () => {
      const process = await loaded('bad_header');
      const answer = await process.invoke({});
      expect(answer).toMatchObject({ status: 502, body: { code: 'UserError' } });
      expect(answer.headers['x-other']).toBeUndefined();
    });

    it('come from C extensions too', async () => {
      const process = await loaded('compress');
      expect((await process.invoke({})).body).toMatchObject({ back: 'warm' });
    });
  });

  describe('the end of the process', () => {
    it.each([
      ['exit_hard', 'Exited', /exited with code 9/],
      ['crash', 'Crashed', /was ended by SIGSEGV/],
    ])('by %s is told in the answer and in termination.json', async (way, reason, words) => {
      const process = await loaded(way);
      const answer = await process.invoke({}, { 'x-request-id': 'last' });
      expect(answer).toMatchObject({ status: 502, body: { code: 'UserError' } });
      expect(answer.body['message']).toMatch(words);
      expect(await process.exited).toBe(1);
      expect(await terminationOf(process)).toMatchObject({ reason, requestId: 'last' });
    });

    it('is the answer to a call into C that does not heed the deadline', async () => {
      const process = await loaded('sleep_uninterrupted', withTimeout(150));
      const startedAt = Date.now();
      expect(await process.invoke({})).toMatchObject({ status: 504, body: { code: 'RequestTimeout' } });
      expect(Date.now() - startedAt).toBeLessThan(3_000);
      expect(await process.exited).toBe(1);
      expect(await terminationOf(process)).toMatchObject({ reason: 'RequestTimeout' });
    });

    it('takes subprocesses of the function with it', async () => {
      const process = await loaded('start_orphan');
      const orphan = Number((await process.invoke({})).body['pid']);
      expect(isAlive(orphan)).toBe(true);
      process.kill('SIGTERM');
      expect(await process.exited).toBe(0);
      await until(() => !isAlive(orphan), 'the subprocess to end');
    });

    it('leaves no interpreter behind when the agent is killed at once', async () => {
      const process = await python();
      await process.load({
        handler: 'index.handler',
        files: { 'index.py': `import os\nPID = os.getpid()\ndef handler(event, context):\n    return PID\n` },
      });
      const interpreter = Number((await process.invoke({})).text);
      expect(interpreter).not.toBe(process.pid);
      process.kill('SIGKILL');
      await process.exited;
      await until(() => !isAlive(interpreter), 'the interpreter to end');
    });

    it('of an app that ends by itself is a failure that says so', async () => {
      const process = await python();
      const app = `import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while listener.accept()[0].recv(1) != b"q":
    pass
sys.exit(5)
`;
      expect((await process.load({ handler: 'server.py', files: { 'server.py': app } })).status).toBe(200);
      await process.raw(['q']);
      expect(await process.exited).toBe(1);
      expect(await terminationOf(process)).toMatchObject({ reason: 'Exited', message: 'the app called exit(5)' });
    });

    it('does not wait for whoever does not read its output', async () => {
      const process = await loaded('many_lines');
      process.pauseOutput();
      for (let round = 0; round < 3; round += 1) expect((await process.invoke({ lines: 10_000 })).status).toBe(204);
      process.kill('SIGTERM');
      process.resumeOutput();
      expect(await process.exited).toBe(0);
    });

    it('does not come from a copy that the handler forked', async () => {
      const process = await loaded('fork_away');
      expect((await process.invoke({})).body).toEqual({ from: 'the handler' });
      expect((await process.invoke({})).body).toEqual({ from: 'the handler' });
    });
  });

  describe('the HTTP server', () => {
    const echo = { handler: 'index.handler', files: { 'index.py': ECHO } };
    const serving = async (): Promise<PythonProcess> => {
      const process = await python();
      await process.load(echo);
      return process;
    };
    const bodiesOf = (received: string): string[] => received.split(/HTTP\/1\.1 .*?\r\n\r\n/s).slice(1);

    it('answers requests that were sent ahead on one connection, in order', async () => {
      const process = await serving();
      const ahead = ['/1', '/2', '/3'].map((each) => `GET ${each} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
      const received = await process.raw([`${ahead}GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`]);
      expect(bodiesOf(received)).toEqual(['/1 ', '/2 ', '/3 ', '/4 ']);
    });

    it('reads a chunked body that comes byte by byte, with extensions and trailers', async () => {
      const process = await serving();
      const request =
        'POST /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n' +
        '3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n';
      expect(bodiesOf(await process.raw(request.split('')))).toEqual(['/c abc0123456789']);
    });

    it('lets a client that asks first send its body', async () => {
      const process = await serving();
      const head =
        'POST /e HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n';
      expect(await process.raw([head, 'hi'], '100 Continue')).toMatch(
        /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK.*\/e hi$/s,
      );
    });

    it('sends no body in an answer to HEAD, and closes for HTTP/1.0', async () => {
      const process = await serving();
      const received = await process.raw(['HEAD /h HTTP/1.0\r\n\r\n']);
      expect(received).toMatch(/Content-Length: 3\r\nConnection: close\r\n\r\n$/);
    });

    it.each([
      ['two lengths', 'Content-Length: 3\r\nContent-Length: 4\r\n', 400],
      ['a length and chunks', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', 400],
      ['another encoding', 'Transfer-Encoding: gzip, chunked\r\n', 400],
      ['a length that is no number', 'Content-Length: +3\r\n', 400],
      ['a header without a name', ': x\r\n', 400],
      ['a space before the colon', 'Content-Length : 3\r\n', 400],
      ['too many headers', `X-Long: ${'x'.repeat(70_000)}\r\n`, 431],
    ])('refuses a request with %s and closes the connection', async (_what, header, status) => {
      const process = await serving();
      const received = await process.raw([`POST / HTTP/1.1\r\nHost: a\r\n${header}\r\nabc`]);
      expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(received).toContain('Connection: close');
      expect((await process.onPort('GET', '/after')).text).toBe('/after ');
    });
  });

  describe('pre-import', () => {
    it('has the modules of the pool in memory', async () => {
      const process = await python({ WARMPOOL_PRE_IMPORT: 'sqlite3, xml.dom.minidom' });
      const files = {
        'index.py':
          'import sys\nFOUND = [name in sys.modules for name in ("sqlite3", "xml.dom.minidom", "curses")]\n' +
          'def handler(event, context):\n    return FOUND\n',
      };
      await process.load({ handler: 'index.handler', files });
      expect((await process.invoke({})).text).toBe('[true,true,false]');
    });

    it('of a module that is not there ends the boot, naming it', async () => {
      const process = await python({ WARMPOOL_PRE_IMPORT: 'json,no_such_module' });
      expect(await process.exited).toBe(1);
      expect(process.output()).toContain(
        '"no_such_module" of WARMPOOL_PRE_IMPORT cannot be imported: ModuleNotFoundError',
      );
      expect(existsSync(path.join(process.folder, 'agent.sock'))).toBe(false);
      expect(await terminationOf(process)).toMatchObject({ reason: 'BootFailed' });
    });
  });

  it('a wrong setting ends the process with code 2 and a sentence', async () => {
    const process = await python({ WARMPOOL_PORT: 'eighty' });
    expect(await process.exited).toBe(2);
    expect(process.output()).toContain('WARMPOOL_PORT must be a whole number from 1 to 65535');
  });

  it('the stack of an error at import holds the lines of the user and none of the agent', async () => {
    const process = await python();
    const files = { 'index.py': 'import deeper\n', 'deeper.py': 'def fail():\n    return {}["absent"]\nfail()\n' };
    const { status, body } = await process.load({ handler: 'index.handler', files });
    expect(status).toBe(422);
    expect(body).toMatchObject({ code: 'UserCodeError', phase: 'import', message: "KeyError: 'absent'" });
    expect(body['stack']).toContain('deeper.py');
    expect(body['stack']).not.toMatch(/warmpool_agent|importlib/);
    expect(await process.exited).toBe(1);
  });
});

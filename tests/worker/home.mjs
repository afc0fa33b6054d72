// The Worker as a process of its own: started on a folder, asked, listened to, stopped and killed.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const { WORKER, WORKER_THAT_PANICS, WORKER_CONFIG, WORKER_SECRETS } = process.env;

/** The bundles that are tested. */
export const bundles = { deployed: WORKER, panicking: WORKER_THAT_PANICS };

/** The issuer of the testkit: settings, and tokens under their names. */
export const issuer = () => JSON.parse(execFileSync(process.env.ISSUER, { encoding: 'utf8' }));

/** Runs `patchbay`; what it prints, says and ends with. */
export async function patchbay(args, env = {}) {
  const settings = { env: { PATH: process.env.PATH, HOME: '/nowhere', ...env } };
  const { stdout, stderr, code = 0 } = await promisify(execFile)(process.env.PATCHBAY, args, settings).catch((failed) => failed);
  return { stdout, stderr, code };
}

/** A new token, and the entry that makes it good. */
export async function token(...args) {
  const [, text, , , entry] = (await patchbay(['tokens', 'create', ...args])).stdout.split('\n');
  return { text, entry };
}

/** What a request brings beside its body where its caller has this token. */
export const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });

/** A folder for what a Worker keeps; removed with the test `t`. */
export async function folder(t) {
  const made = await mkdtemp(join(tmpdir(), 'patchbay-worker-'));
  t.after(() => rm(made, { recursive: true, force: true }));
  return made;
}

/** Starts the Worker on what `data` holds. It is gone when the test `t` is. */
export async function start(t, data, { main = WORKER, secrets = WORKER_SECRETS, settings = {} } = {}) {
  const told = Object.entries(settings).flatMap(([name, value]) =>
    typeof value === 'string' ? ['--set', `${name}=${value}`] : ['--set-json', `${name}=${JSON.stringify(value)}`]);
  const from = secrets ? ['--secrets', secrets] : [];
  const process_ = spawn(
    process.execPath,
    [join(here, 'serve.mjs'), WORKER_CONFIG, '--data', data, '--main', main, ...from, ...told],
    // A group of its own, so that the runtime goes with whoever started it.
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  const home = new Home(process_);
  t.after(() => home.kill());
  const [first] = await once(createInterface(process_.stdout), 'line');
  home.url = first.split(' answers on ')[1];
  return home;
}

class Home {
  #process;
  #lines = [];
  #waiting = new Map();

  constructor(process_) {
    this.#process = process_;
    createInterface(process_.stderr).on('line', (line) => this.#hear(line));
  }

  /** The audit records in its log. */
  get records() {
    return this.#lines.filter((line) => line.startsWith('{"audit":')).map((line) => JSON.parse(line).audit);
  }

  /** Everything that it has said. */
  get output() {
    return this.#lines.join('\n');
  }

  #hear(line) {
    this.#lines.push(line);
    if (!line.startsWith('{')) return;
    const entry = JSON.parse(line);
    this.#waiting.get(entry.request_id)?.(entry);
    this.#waiting.delete(entry.request_id);
  }

  /** Asks one operation. `entry` of the answer comes to what its line in the log says; `id` is the request's. */
  async ask(operation, body, { signal, headers } = {}) {
    const id = crypto.randomUUID();
    const entry = new Promise((heard) => this.#waiting.set(id, heard));
    const response = await fetch(`${this.url}/v1/api/${operation}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id, ...headers },
      body: JSON.stringify(body),
      signal,
    });
    const text = await response.text();
    return { id, status: response.status, headers: response.headers, text, entry };
  }

  /** What it says to a `get` when it takes it from KV; asks until it does. */
  async getFromKv(body, operation = 'connections/get', options = {}) {
    return eventually(async () => {
      const answer = await this.ask(operation, body, options);
      const { kv_reads, object_requests } = await answer.entry;
      return kv_reads > 0 && object_requests === 0 ? answer : undefined;
    }, `${JSON.stringify(body)} is not served from KV`);
  }

  /** Has it end as somebody who stops it would. */
  async stop() {
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await ended;
  }

  /** Ends it and its runtime at once. */
  async kill() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    process.kill(-this.#process.pid, 'SIGKILL');
    await ended;
  }
}

/** What `attempt` comes to once it comes to something. KV may lag; `never` says what it means where nothing comes. */
export async function eventually(attempt, never) {
  for (let tries = 0; tries < 900; tries += 1) {
    const found = await attempt();
    if (found !== undefined) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(never);
}

/** The JSON of an answer that must have this status. */
export function ok(answer, status = 200) {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text}`);
  return answer.text === '' ? undefined : JSON.parse(answer.text);
}

// Runs a Worker in workerd, the real runtime, on this machine and offline, as its wrangler.jsonc describes it: bindings,
// classes, variables. The first line of output says where it answers; the Worker's log goes to standard error.
//
//   node serve.mjs WRANGLER.JSONC --data FOLDER [--main FILE] [--secrets FILE] [--set NAME=VALUE]…
//     [--set-json NAME=JSON]… [--port N]

import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { Miniflare } from 'miniflare';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: 'string' },
    main: { type: 'string' },
    secrets: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    'set-json': { type: 'string', multiple: true, default: [] },
    port: { type: 'string', default: '0' },
  },
});
// Wrangler reads these as it is loaded; without them it would log to our output, and into the home folder.
process.env.WRANGLER_LOG ??= 'error';
process.env.WRANGLER_LOG_PATH ??= resolve(values.data, 'wrangler');
const { unstable_getMiniflareWorkerOptions: optionsOf } = await import('wrangler');
// Without a file of secrets, none of those that lie beside the configuration is read.
const envFiles = [values.secrets ? resolve(values.secrets) : '/dev/null'];
const { workerOptions, main } = optionsOf(resolve(positionals[0]), undefined, { envFiles });
const pair = (one) => one.split(/=(.*)/s, 2);
const set = values.set.map(pair);
const setJson = values['set-json'].map(pair).map(([name, json]) => [name, JSON.parse(json)]);
const script = resolve(values.main ?? main);
const miniflare = new Miniflare({
  ...workerOptions,
  bindings: { ...workerOptions.bindings, ...Object.fromEntries([...set, ...setJson]) },
  modules: true,
  modulesRoot: dirname(script),
  scriptPath: script,
  host: '127.0.0.1',
  port: Number(values.port),
  defaultPersistRoot: resolve(values.data),
  // What Cloudflare tells of a client would be fetched from there.
  cf: false,
  logRequests: false,
  handleRuntimeStdio(...streams) {
    for (const stream of streams) stream.pipe(process.stderr);
  },
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await miniflare.dispose();
    process.exit();
  });
}
console.log(`Patchbay answers on ${(await miniflare.ready).origin}`);

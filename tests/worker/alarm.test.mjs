// An alarm that cannot do its work rings again: the runtime would drop it after a few tries.

import assert from 'node:assert/strict';
import test from 'node:test';

import { eventually, folder, ok, start } from './home.mjs';

test('an alarm that finds wrong settings rings again a minute later, without the runtime', async (t) => {
  const data = await folder(t);
  const home = await start(t, data);
  const { id } = ok(await home.ask('connections/create', { name: 'a', type: 'KAFKA' }));
  await home.getFromKv({ name: 'a' });
  // A second change soon after a write waits for its alarm.
  for (const workspace_id of [7, 8]) {
    ok(await home.ask('connections/add_to_workspace', { workspace_id, connection_id: id }));
    await new Promise((done) => setTimeout(done, 200));
  }
  await home.kill();

  const wrong = await start(t, data, { settings: { PATCHBAY_EDGE_MAX_AGE: '59' } });
  const failed = await eventually(() => {
    const lines = wrong.output.split('\n').filter((line) => line.includes('"operation":"kv"'));
    return lines.length > 1 ? lines : undefined;
  }, 'the alarm does not ring again');
  for (const line of failed) assert.match(JSON.parse(line).problem, /PATCHBAY_EDGE_MAX_AGE/);
});

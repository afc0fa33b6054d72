// Clients that go away before they are answered.

import assert from 'node:assert/strict';
import test from 'node:test';

import { folder, ok, start } from './home.mjs';

/** What a request comes to whose client goes away after so many milliseconds: its status, or nothing. */
async function abandoned(home, operation, body, milliseconds) {
  try {
    return (await home.ask(operation, body, { signal: AbortSignal.timeout(milliseconds) })).status;
  } catch (error) {
    assert.equal(error.name, 'TimeoutError');
    return undefined;
  }
}

test('a client that goes away leaves its change whole or absent', async (t) => {
  const home = await start(t, await folder(t), { settings: { PATCHBAY_READS: 'strong' } });
  const names = Array.from({ length: 200 }, (_, number) => `connection-${number}`);
  const details = { password: 'x'.repeat(100_000) };
  // Half of them stay.
  const patience = (number) => (number % 2 === 0 ? number : 60_000);
  const created = await Promise.all(names.map((name, number) =>
    abandoned(home, 'connections/create', { name, type: 'KAFKA', details }, patience(number))));
  assert.ok(created.includes(undefined), 'no client went away before its answer');
  const ids = [];
  for (const [number, name] of names.entries()) {
    const answer = await home.ask('connections/get', { name });
    if (answer.status === 404) {
      assert.notEqual(created[number], 200, `${name} was acknowledged`);
      ok(await home.ask('connections/create', { name, type: 'KAFKA', details }));
    }
    const connection = ok(await home.ask('connections/get', { name }));
    assert.deepEqual(connection.details, details);
    ids.push(connection.id);
  }
  // Each attach opens a workspace of its own as well.
  const attached = await Promise.all(ids.map((connection_id, number) =>
    abandoned(home, 'connections/add_to_workspace', { workspace_id: 1 + number, connection_id }, Math.ceil(patience(number) / 4))));
  for (const [number, id] of ids.entries()) {
    const { workspace_names } = ok(await home.ask('connections/get_by_id', { id }));
    const { connections } = ok(await home.ask('connections/list', { workspace_id: 1 + number }));
    assert.deepEqual(connections.map((one) => one.id), workspace_names.length === 1 ? [id] : []);
    assert.ok(workspace_names.length === 1 || attached[number] !== 200, `${names[number]} was acknowledged`);
  }
});

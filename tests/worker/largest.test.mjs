// The largest that is legal, through the object, KV and back: its limits are those of rows, values and memory there.

import assert from 'node:assert/strict';
import test from 'node:test';

import { folder, ok, start } from './home.mjs';

const DETAILS_BYTES = 256 * 1024;
/** So many of the largest connections fit into an answer of 8 MiB, and not one more. */
const FIT = 31;

/** Details of as many bytes as are allowed. */
const details = 'd'.repeat(DETAILS_BYTES - 2);

test('the largest connection comes back the same from the object and from KV', async (t) => {
  const home = await start(t, await folder(t));
  const name = '\u{10ffff}'.repeat(63) + 'abc';
  assert.equal(Buffer.byteLength(name), 255);
  const { id } = ok(await home.ask('connections/create', { name, type: 'T'.repeat(64), details }));
  const workspaces = Array.from({ length: 256 }, (_, number) => String(number).padStart(255, '0'));
  for (const workspace_name of workspaces) {
    const { workspace_id } = ok(await home.ask('workspaces/create', { workspace_name }));
    ok(await home.ask('connections/add_to_workspace', { workspace_id, connection_id: id }));
  }
  const first = ok(await home.ask('connections/get', { name }));
  assert.equal(first.details, details);
  assert.deepEqual(first.workspace_names, workspaces);
  assert.deepEqual(ok(await home.getFromKv({ name })), first);
  assert.deepEqual(ok(await home.getFromKv({ id }, 'connections/get_by_id')), first);
});

test('a list is given whole up to the bound for an answer, and in pages beyond it', async (t) => {
  const home = await start(t, await folder(t));
  const attach = async (number) => {
    const name = `connection-${String(number).padStart(2, '0')}`;
    const { id } = ok(await home.ask('connections/create', { name, type: 'KAFKA', details }));
    ok(await home.ask('connections/add_to_workspace', { workspace_id: 7, connection_id: id }));
    return name;
  };
  const names = [];
  for (let number = 0; number < FIT; number += 1) names.push(await attach(number));
  const { connections } = ok(await home.ask('connections/list', { workspace_id: 7 }));
  assert.deepEqual(connections.map((one) => one.name), names);
  assert.ok(connections.every((one) => one.details === details));

  names.push(await attach(FIT));
  ok(await home.ask('connections/list', { workspace_id: 7 }), 413);
  const paged = [];
  let cursor;
  do {
    const page = ok(await home.ask('connections/list', { workspace_id: 7, limit: 1000, cursor }));
    paged.push(...page.connections.map((one) => one.name));
    cursor = page.next_cursor;
  } while (cursor !== undefined);
  assert.deepEqual(paged, names);
});

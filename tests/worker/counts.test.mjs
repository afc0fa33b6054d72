// What an operation costs: reads of KV and requests to Durable Objects before its answer, as its line in the log says.

import assert from 'node:assert/strict';
import test from 'node:test';

import { folder, ok, start } from './home.mjs';

/** What one request cost. */
async function cost(home, operation, body, status = 200) {
  const answer = await home.ask(operation, body);
  const { kv_reads, object_requests } = await answer.entry;
  return [ok(answer, status), { kv_reads, object_requests }];
}

const oneRequest = { kv_reads: 0, object_requests: 1 };
const fromKv = { kv_reads: 1, object_requests: 0 };
const besideKv = { kv_reads: 1, object_requests: 1 };

test('changes and lists are one request to the object, and never ask KV', async (t) => {
  const home = await start(t, await folder(t));
  const asked = async (operation, body, status) => {
    const [answer, calls] = await cost(home, operation, body, status);
    assert.deepEqual(calls, oneRequest, operation);
    return answer;
  };
  const { id } = await asked('connections/create', { name: 'a', type: 'KAFKA', details: { password: 'x' } });
  await asked('connections/create', { name: 'a', type: 'KAFKA' }, 409);
  const pair = { workspace_id: 7, connection_id: id };
  await asked('connections/add_to_workspace', pair);
  await asked('connections/list', { workspace_id: 7 });
  await asked('connections/delete', { name: 'a' }, 409);
  await asked('connections/remove_from_workspace', pair, 204);
  await asked('connections/delete', { name: 'a' }, 204);
  await asked('workspaces/create', { workspace_name: 'w' });
  await asked('workspaces/list', {});
});

test('what is refused before the store is asked costs nothing', async (t) => {
  const home = await start(t, await folder(t));
  const [, calls] = await cost(home, 'connections/get', { nome: 'a' }, 400);
  assert.deepEqual(calls, { kv_reads: 0, object_requests: 0 });
});

test('a get is one read of KV once KV has the entry, by name and by id', async (t) => {
  const home = await start(t, await folder(t));
  const { id } = ok(await home.ask('connections/create', { name: 'a', type: 'KAFKA', details: { password: 'x' } }));
  for (const [operation, body] of [['connections/get', { name: 'a' }], ['connections/get_by_id', { id }]]) {
    const [first, calls] = await cost(home, operation, body);
    assert.deepEqual(calls, besideKv, operation);
    const kept = await home.getFromKv(body, operation);
    assert.deepEqual(ok(kept), first);
    assert.deepEqual((await cost(home, operation, body))[1], fromKv, operation);
  }
});

test('what KV does not have is asked of the object before it is refused', async (t) => {
  const home = await start(t, await folder(t));
  for (let time = 0; time < 2; time += 1) {
    const [, calls] = await cost(home, 'connections/get', { name: 'nothing' }, 404);
    assert.deepEqual(calls, besideKv);
  }
});

test('with strong reads KV is never asked', async (t) => {
  const home = await start(t, await folder(t), { settings: { PATCHBAY_READS: 'strong' } });
  const { id } = ok(await home.ask('connections/create', { name: 'a', type: 'KAFKA' }));
  for (let time = 0; time < 3; time += 1) {
    assert.deepEqual((await cost(home, 'connections/get', { name: 'a' }))[1], oneRequest);
    assert.deepEqual((await cost(home, 'connections/get_by_id', { id }))[1], oneRequest);
  }
});

test('KV follows a change long before the lease of its entry is over', async (t) => {
  const home = await start(t, await folder(t), { settings: { PATCHBAY_EDGE_MAX_AGE: '86400' } });
  const { id } = ok(await home.ask('connections/create', { name: 'a', type: 'KAFKA' }));
  await home.getFromKv({ name: 'a' });
  ok(await home.ask('connections/add_to_workspace', { workspace_id: 7, connection_id: id }));
  let kept;
  do kept = ok(await home.getFromKv({ name: 'a' }));
  while (kept.workspace_names.length === 0);
  assert.deepEqual(kept.workspace_names, ['workspace-7']);
});

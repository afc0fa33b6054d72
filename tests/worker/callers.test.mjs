// Callers who bring tokens of an issuer: whom the Worker answers, and what it never says.

import assert from 'node:assert/strict';
import test from 'node:test';

import { bearer, eventually, folder, issuer, ok, start } from './home.mjs';

test('right tokens are taken, wrong ones are not, and none is in the log', async (t) => {
  const home = await start(t, await folder(t), { settings: issuer().settings });
  const { good, bad } = issuer();
  for (const [name, token] of Object.entries(good)) {
    assert.equal((await home.ask('connections/list', {}, bearer(token))).status, 200, name);
  }
  for (const [name, token] of Object.entries(bad)) {
    const answer = await home.ask('connections/list', {}, bearer(token));
    assert.equal(answer.status, 401, name);
    assert.equal(answer.headers.get('www-authenticate'), 'Bearer error="invalid_token"', name);
  }
  const none = await home.ask('connections/list', {});
  assert.equal(none.status, 401);
  assert.equal(none.headers.get('www-authenticate'), 'Bearer');
  assert.match((await none.entry).problem, /there is no token/);
  assert.match(home.output, /a key of PATCHBAY_JWKS is left out.*for-rs512/);
  assert.match(home.output, /its signature is not the issuer's/);
  for (const [name, token] of [...Object.entries(good), ...Object.entries(bad)]) {
    assert.ok(token.length < 40 || !home.output.includes(token.slice(-20)), name);
  }
});

test('each call leaves one audit record, though only failures are logged beside it', async (t) => {
  const home = await start(t, await folder(t), { settings: { ...issuer().settings, PATCHBAY_LOG: 'failures' } });
  const headers = { ...bearer(Object.values(issuer().good)[0]).headers, 'cf-connecting-ip': '198.51.100.7' };
  const ask = async (operation, body, status) => {
    const answer = await home.ask(operation, body, { headers });
    return { request_id: answer.id, answered: ok(answer, status) };
  };
  const created = await ask('connections/create', { name: 'a', type: 'T', details: 'hunter2' }, 200);
  const read = await ask('connections/get', { name: 'a' }, 200);
  const looked = await ask('connections/list', { details: false }, 200);
  await ask('connections/get', { nam: 'a' }, 400);
  assert.equal((await home.ask('connections/list', {})).status, 401);
  const missed = await ask('connections/delete', { name: 'b' }, 404);

  const record = (kind, operation, { request_id }, more) =>
    ({ tenant: 'acme', subject: 'ann', kind, operation, outcome: 'done', request_id, address: '198.51.100.7', ...more });
  const named = { name: 'a', connections: [created.answered.id] };
  const expected = [
    record('change', 'connections/create', created, named),
    record('details.read', 'connections/get', read, named),
    record('look', 'connections/list', looked, {}),
    record('change', 'connections/delete', missed, { name: 'b', outcome: 'not_found', status: 404 }),
  ];
  // The log comes by another way than the answers.
  const records = await eventually(() => home.records[expected.length - 1] && home.records, 'there are too few records');
  for (const { at } of records) assert.ok(Date.parse(at));
  assert.deepEqual(records.map(({ at, ...rest }) => rest), expected);
  assert.ok(!home.output.includes('hunter2'));
});

test('with authentication off no call leaves an audit record', async (t) => {
  const home = await start(t, await folder(t));
  const answer = await home.ask('connections/list', {});
  ok(answer);
  await answer.entry;
  assert.deepEqual(home.records, []);
});

test('what a token makes of its bearer holds at the edge as in the object', async (t) => {
  const home = await start(t, await folder(t), { settings: issuer().settings });
  const ann = bearer(Object.values(issuer().good)[0]);
  ok(await home.ask('connections/create', { name: 'a', type: 'T', details: { a: 1 } }, ann));
  const kept = await home.getFromKv({ name: 'a' }, 'connections/get', ann);
  assert.deepEqual(ok(kept).details, { a: 1 });
});

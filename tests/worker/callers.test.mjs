// Callers who bring tokens of an issuer: whom the Worker answers, and what it never says.

import assert from 'node:assert/strict';
import test from 'node:test';

import { bearer, eventually, folder, issuer, ok, start, token } from './home.mjs';

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
  const of = (subject) => token('--subject', subject, '--tenant', 'acme');
  const tokens = { ann: await of('ann'), bob: await of('bob') };
  const entries = Object.values(tokens).map(({ entry }) => entry).join('\n');
  const settings = { PATCHBAY_AUTH: 'tokens', PATCHBAY_TOKENS: entries, PATCHBAY_LOG: 'failures' };
  const home = await start(t, await folder(t), { settings });
  const ask = (subject, operation, body) => {
    const headers = { ...bearer(tokens[subject].text).headers, 'cf-connecting-ip': '198.51.100.7' };
    return home.ask(operation, body, { headers });
  };
  const expected = [];
  const leaves = ({ id: request_id }, subject, kind, operation, more) => expected.push(
    { tenant: 'acme', subject, kind, operation, outcome: 'done', request_id, address: '198.51.100.7', ...more });

  const a = await ask('ann', 'connections/create', { name: 'a', type: 'T', details: 'hunter2' });
  const b = await ask('ann', 'connections/create', { name: 'b', type: 'T' });
  const w = await ask('ann', 'workspaces/create', { workspace_name: 'w' });
  const [{ id }, { id: other }, { workspace_id }] = [ok(a), ok(b), ok(w)];
  const [named, there] = [{ name: 'a', connections: [id] }, { workspace: workspace_id }];
  leaves(a, 'ann', 'change', 'connections/create', named);
  leaves(b, 'ann', 'change', 'connections/create', { name: 'b', connections: [other] });
  leaves(w, 'ann', 'change', 'workspaces/create', { name: 'w', ...there });
  const both = { workspace_id, connection_id: id };
  const [user, member] = [{ workspace_id, user_id: 'bob' }, { ...there, user_id: 'bob' }];
  const [forbidden, missing, conflict] = [
    { outcome: 'forbidden', status: 403 },
    { outcome: 'not_found', status: 404 },
    { outcome: 'conflict', status: 409 },
  ];
  for (const [subject, operation, body, kind, more] of [
    ['ann', 'connections/create', { name: 'a', type: 'T' }, 'change', { name: 'a', ...conflict }],
    ['ann', 'connections/get', { name: 'a' }, 'details.read', named],
    ['ann', 'connections/get', { name: 'a', details: false }, 'look', named],
    ['ann', 'connections/get_by_id', { id }, 'details.read', named],
    ['ann', 'connections/get_by_id', { id, details: false }, 'look', named],
    ['ann', 'connections/list', {}, 'details.read', { connections: [id, other] }],
    ['ann', 'connections/list', { details: false }, 'look', {}],
    ['bob', 'connections/get', { name: 'a' }, 'look', { name: 'a', ...missing }],
    ['bob', 'connections/get_by_id', { id }, 'look', { connections: [id], ...missing }],
    ['bob', 'connections/list', {}, 'look', {}],
    ['bob', 'connections/list', { workspace_id }, 'look', { ...there, ...missing }],
    ['bob', 'connections/add_to_workspace', both, 'change', { connections: [id], ...there, ...missing }],
    ['ann', 'connections/add_to_workspace', both, 'change', { ...named, ...there }],
    ['ann', 'connections/list', { workspace_id }, 'details.read', { connections: [id], ...there }],
    ['ann', 'connections/delete', { name: 'a' }, 'change', { ...named, ...conflict }],
    ['bob', 'connections/delete', { name: 'a' }, 'change', { name: 'a', ...missing }],
    ['bob', 'workspaces/list_users', { workspace_id }, 'look', { ...there, ...missing }],
    ['ann', 'workspaces/add_user', user, 'change', { ...member, user_type: 'COLLABORATOR' }],
    ['bob', 'workspaces/list_users', { workspace_id }, 'look', there],
    ['bob', 'workspaces/add_user', user, 'change', { ...member, user_type: 'COLLABORATOR', ...forbidden }],
    ['bob', 'connections/add_to_workspace', both, 'change', { ...named, ...there, ...forbidden }],
    ['bob', 'connections/remove_from_workspace', both, 'change', { ...named, ...there, ...forbidden }],
    ['bob', 'connections/delete', { name: 'a' }, 'change', { ...named, ...forbidden }],
    ['ann', 'workspaces/remove_user', user, 'change', member],
    ['ann', 'workspaces/list', {}, 'look', {}],
    ['ann', 'connections/remove_from_workspace', both, 'change', { ...named, ...there }],
    ['ann', 'connections/remove_from_workspace', both, 'change', { connections: [id], ...there, ...missing }],
    ['ann', 'connections/delete', { name: 'a' }, 'change', named],
    ['ann', 'connections/delete', { name: 'a' }, 'change', { name: 'a', ...missing }],
    ['ann', 'audit/list', {}, 'look', forbidden],
    ['ann', 'admin/keys/status', {}, 'look', forbidden],
  ]) {
    const answer = await ask(subject, operation, body);
    assert.equal(answer.status < 300 ? undefined : answer.status, more.status, `${operation}: ${answer.text}`);
    leaves(answer, subject, kind, operation, more);
    // Neither of these comes to an operation.
    assert.equal((await ask(subject, operation, { ...body, nam: 'a' })).status, 400);
    assert.equal((await home.ask(operation, body)).status, 401);
  }
  // The log comes by another way than the answers.
  const records = await eventually(() => home.records[expected.length - 1] && home.records, 'there are too few records');
  for (const [number, { at, ...rest }] of records.entries()) {
    assert.ok(Date.parse(at));
    assert.deepEqual(rest, expected[number]);
  }
  assert.equal(records.length, expected.length);
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

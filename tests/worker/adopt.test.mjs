// What was stored while authentication was off is given away by an operator, over a Worker in use.

import assert from 'node:assert/strict';
import test from 'node:test';

import { bearer, folder, ok, patchbay, start, token } from './home.mjs';

test('what was stored while authentication was off is given to somebody, as it was', async (t) => {
  const data = await folder(t);
  const open = await start(t, data, { settings: { PATCHBAY_AUTH: 'off' } });
  const names = Array.from({ length: 30 }, (_, number) => `connection-${number}`);
  const made = [];
  for (const name of names) {
    const { id } = ok(await open.ask('connections/create', { name, type: 'KAFKA', details: { of: name } }));
    const pair = { workspace_id: 1 + (made.length % 3), connection_id: id };
    made.push({ name, id, ...pair, attachment: ok(await open.ask('connections/add_to_workspace', pair)).id });
  }
  const before = ok(await open.ask('connections/list', {})).connections;
  await open.stop();

  const [operator, ann, admin] = [
    await token('--subject', 'on call', '--operator'),
    await token('--subject', 'ann', '--tenant', 'acme'),
    await token('--subject', 'root', '--tenant', 'default', '--admin'),
  ];
  const tokens = { PATCHBAY_AUTH: 'tokens', PATCHBAY_TOKENS: `${ann.entry}\n${admin.entry}` };
  const settings = { ...tokens, PATCHBAY_OPERATOR_TOKENS: operator.entry, PATCHBAY_WORKSPACES: 'managed' };
  const adopt = (home, ...more) =>
    patchbay(['adopt', '--url', home.url, '--tenant', 'acme', '--owner', 'ann', ...more], {
      PATCHBAY_OPERATOR_TOKEN: operator.text,
    });

  const unasked = await start(t, data, { settings });
  const refused = await adopt(unasked);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /403.*PATCHBAY_ADOPT_TENANT/);
  await unasked.stop();

  const home = await start(t, data, { settings: { ...settings, PATCHBAY_ADOPT_TENANT: 'acme' } });
  const [asAnn, asAdmin] = [bearer(ann.text), bearer(admin.text)];
  const taken = ok(await home.ask('connections/create', { name: names[4], type: 'KAFKA' }, asAnn));
  const inTheWay = await adopt(home);
  assert.match(inTheWay.stderr, /acme has a connection `connection-4` of its own/);
  assert.equal(ok(await home.ask('connections/list', {}, asAdmin)).connections.length, 30);
  ok(await home.ask('connections/delete', { name: names[4] }, asAnn), 204);
  assert.ok(taken.id);

  const rehearsed = await adopt(home, '--dry-run');
  assert.equal(rehearsed.stdout, 'Would be adopted: 30 connections, 3 workspaces.\n', rehearsed.stderr);
  ok(await home.ask('connections/get', { name: names[0] }, asAnn), 404);
  const adopted = await adopt(home);
  assert.equal(adopted.stdout, 'Adopted: 30 connections, 3 workspaces.\n', adopted.stderr);

  assert.deepEqual(ok(await home.ask('connections/list', {}, asAnn)).connections, before);
  for (const { workspace_id, connection_id, attachment } of made) {
    const again = await home.ask('connections/add_to_workspace', { workspace_id, connection_id }, asAnn);
    assert.equal(ok(again).id, attachment);
  }
  assert.deepEqual(ok(await home.ask('connections/list', {}, asAdmin)).connections, []);
  assert.deepEqual(ok(await home.ask('workspaces/list', {}, asAdmin)).workspaces, []);
  ok(await home.ask('connections/create', { name: names[0], type: 'KAFKA' }, asAdmin));

  const [last] = home.records.filter(({ operation, outcome }) => operation === 'admin/adopt' && outcome === 'done').slice(-1);
  const { tenant, subject, user_id, count } = last;
  assert.deepEqual({ tenant, subject, user_id, count }, { tenant: 'acme', subject: 'on call', user_id: 'ann', count: 30 });
  const status = await patchbay(['keys', 'status', '--url', home.url], { PATCHBAY_OPERATOR_TOKEN: operator.text });
  assert.match(status.stdout, /: 31 records; it seals what is new\n$/, status.stderr);
});

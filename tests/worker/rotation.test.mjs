// Keys are rotated by an operator at their own machine, over a Worker in use.

import assert from 'node:assert/strict';
import test from 'node:test';

import { folder, ok, patchbay, start, token } from './home.mjs';

const secret = (letter) => letter.repeat(43);

test('keys are rotated over HTTP, and what KV may show late keeps the old one in the count', async (t) => {
  const data = await folder(t);
  const operator = await token('--subject', 'on call', '--operator');
  const settings = { PATCHBAY_OPERATOR_TOKENS: operator.entry, PATCHBAY_EDGE_MAX_AGE: '86400' };
  const startWith = (keys) => start(t, data, { settings: { ...settings, PATCHBAY_KEYS: keys } });
  const [old, newer] = [`old:${secret('A')}`, `new:${secret('B')}`];
  const keys = (home, what) =>
    patchbay(['keys', what, '--url', home.url], { PATCHBAY_OPERATOR_TOKEN: operator.text });

  const before = await startWith(old);
  const names = Array.from({ length: 30 }, (_, number) => `connection-${number}`);
  for (const name of names) {
    ok(await before.ask('connections/create', { name, type: 'KAFKA', details: { of: name } }));
  }
  await before.stop();

  const both = await startWith(`${newer},${old}`);
  const status = await keys(both, 'status');
  assert.equal(status.stdout, 'new: 0 records; it seals what is new\nold: 30 records\n', status.stderr);
  const rotated = await keys(both, 'rotate');
  assert.equal(rotated.code, 0, rotated.stderr);
  assert.match(rotated.stderr, /Sealed again: 30 records\./);
  assert.match(rotated.stdout, /^new: 30 records;.*\nold: 0 records;/);
  await both.stop();

  // What KV is to hold next is sealed with the new key, which is taken back again.
  const back = await startWith(`${old},${newer}`);
  await back.getFromKv({ name: names[0] });
  await back.getFromKv({ name: names[1] });
  const again = await keys(back, 'rotate');
  assert.equal(again.code, 1, again.stdout);
  assert.equal(again.stdout, 'new: 2 records\nold: 30 records; it seals what is new\n');
  assert.match(again.stderr, /Sealed again: 30 records\..*\n.*KV may show late/);
  assert.ok(!back.output.includes(operator.text.slice(-20)));
  await back.stop();

  // Nothing else needs it.
  const without = await startWith(old);
  for (const name of names.slice(2)) {
    assert.deepEqual(ok(await without.ask('connections/get', { name })).details, { of: name });
  }
});

// Who is let in, and what the log says of it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { folder, ok, start } from './home.mjs';

const keys = 'k1:a-secret-that-is-as-long-as-a-key-must-be-at-least';

test('as it is deployed, every call is 503 until callers can be known, and the log says what is missing', async (t) => {
  const home = await start(t, await folder(t), {
    secrets: null,
    settings: { PATCHBAY_KEYS: keys },
  });
  const answer = await home.ask('connections/get', { name: 'a' });
  assert.equal(answer.status, 503);
  assert.ok(answer.headers.has('retry-after'));
  const { level, problem } = await answer.entry;
  assert.equal(level, 'ERROR');
  assert.match(problem, /PATCHBAY_AUTH/);
});

for (const [what, settings, said] of [
  ['no keys', { PATCHBAY_AUTH: 'off' }, 'PATCHBAY_KEYS'],
  ['a wrong age', { PATCHBAY_AUTH: 'off', PATCHBAY_KEYS: keys, PATCHBAY_EDGE_MAX_AGE: '59' }, 'PATCHBAY_EDGE_MAX_AGE'],
  ['an age that is no string', { PATCHBAY_AUTH: 'off', PATCHBAY_KEYS: keys, PATCHBAY_EDGE_MAX_AGE: 60 }, 'PATCHBAY_EDGE_MAX_AGE'],
]) {
  test(`with ${what} every call is 503, and the log says why`, async (t) => {
    const home = await start(t, await folder(t), { secrets: null, settings });
    const answer = await home.ask('connections/get', { name: 'a' });
    assert.equal(answer.status, 503);
    assert.match((await answer.entry).problem, new RegExp(said));
  });
}

test('each request is one line of the log, and no line has what is secret', async (t) => {
  const home = await start(t, await folder(t));
  const secret = 'a-password-that-nobody-must-see';
  const asked = [
    await home.ask('connections/create', { name: 'a', type: 'KAFKA', details: { secret } }),
    await home.ask('connections/create', { name: 'b', type: 'KAFKA', details: secret, detail: secret }),
    await home.ask('connections/get', { name: 'a' }),
    await home.ask(secret, {}),
  ];
  const entries = await Promise.all(asked.map((answer) => answer.entry));
  assert.deepEqual(entries.map(({ status }) => status), [200, 400, 200, 404]);
  assert.equal(home.output.split('\n').filter((line) => line.startsWith('{')).length, asked.length);
  assert.ok(!home.output.includes(secret));
});

test('the address in the log is the one that Cloudflare says a request came from', async (t) => {
  const home = await start(t, await folder(t));
  const address = async (headers) => (await (await home.ask('connections/list', {}, { headers })).entry).address;
  assert.equal(await address({ 'cf-connecting-ip': '::ffff:198.51.100.7' }), '198.51.100.7');
  assert.equal(await address({ 'x-forwarded-for': '192.0.2.66', 'cf-connecting-ip': '2001:db8::7' }), '2001:db8::7');
});

// What a panic costs: the request that panics, and no other. The bundle that panics has a header for it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { bearer, bundles, eventually, folder, issuer, ok, start } from './home.mjs';

const CLIENTS = 64;
const PANICS = 32;
/** Far longer than any answer takes, in milliseconds. */
const PATIENCE = 30_000;

for (const [where, said] of [['worker', 500], ['object', 503]]) {
  test(`a panic in the ${where} with ${CLIENTS} requests in flight costs that request alone`, async (t) => {
    const home = await start(t, await folder(t), { main: bundles.panicking, settings: { PATCHBAY_READS: 'strong' } });
    // What is made at the first request is there.
    ok(await home.ask('connections/create', { name: 'first', type: 'KAFKA' }));
    const details = { password: 'x'.repeat(50_000) };
    const statuses = await Promise.all(Array.from({ length: CLIENTS }, async (_, number) => {
      const headers = number === PANICS ? { 'x-patchbay-panic': where } : {};
      const body = { name: `connection-${number}`, type: 'KAFKA', details };
      const signal = AbortSignal.timeout(PATIENCE);
      return (await home.ask('connections/create', body, { headers, signal })).status;
    }));
    assert.deepEqual(statuses, Array.from({ length: CLIENTS }, (_, number) => (number === PANICS ? said : 200)));

    ok(await home.ask('connections/create', { name: 'next', type: 'KAFKA' }));
    ok(await home.ask('connections/get', { name: 'first' }));
    for (let number = 0; number < CLIENTS; number += 1) {
      const answer = await home.ask('connections/get', { name: `connection-${number}` });
      // What panicked is whole or absent.
      if (number === PANICS && answer.status === 404) continue;
      assert.deepEqual(ok(answer).details, details);
    }
  });
}

test('a request that panics leaves its audit record all the same', async (t) => {
  const home = await start(t, await folder(t), { main: bundles.panicking, settings: issuer().settings });
  const { headers } = bearer(Object.values(issuer().good)[0]);
  const panics = { headers: { ...headers, 'x-patchbay-panic': 'worker' } };
  ok(await home.ask('connections/create', { name: 'a', type: 'KAFKA' }, panics), 500);
  const { name, outcome, status } = await eventually(() => home.records[0], 'there is no record');
  assert.deepEqual({ name, outcome, status }, { name: 'a', outcome: 'failed', status: 500 });
});

test('what is deployed has no way to be made to panic', async (t) => {
  const home = await start(t, await folder(t));
  for (const where of ['worker', 'object']) {
    ok(await home.ask('connections/create', { name: where, type: 'KAFKA' }, { headers: { 'x-patchbay-panic': where } }));
  }
});

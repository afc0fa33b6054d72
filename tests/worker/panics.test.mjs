// What a panic costs: the request that panics, and nobody else's data. The bundle that panics has a header for it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { bundles, folder, ok, start } from './home.mjs';

const CLIENTS = 64;
/** Far longer than any answer takes, in milliseconds. */
const PATIENCE = 30_000;

for (const where of ['worker', 'object']) {
  test(`a panic in the ${where} with ${CLIENTS} requests in flight leaves every write whole or absent`, async (t) => {
    const home = await start(t, await folder(t), { main: bundles.panicking, settings: { PATCHBAY_READS: 'strong' } });
    // What is made at the first request is there.
    ok(await home.ask('connections/create', { name: 'first', type: 'KAFKA' }));
    const details = { password: 'x'.repeat(50_000) };
    const statuses = await Promise.all(Array.from({ length: CLIENTS }, async (_, number) => {
      const headers = number === CLIENTS / 2 ? { 'x-patchbay-panic': where } : {};
      const body = { name: `connection-${number}`, type: 'KAFKA', details };
      try {
        return (await home.ask('connections/create', body, { headers, signal: AbortSignal.timeout(PATIENCE) })).status;
      } catch (error) {
        return error.name;
      }
    }));
    assert.notEqual(statuses[CLIENTS / 2], 200, 'nothing panicked');
    assert.ok(!statuses.includes('TimeoutError'), 'some requests are never answered');
    t.diagnostic(`${statuses.filter((status) => status === 200).length} of the other ${CLIENTS - 1} succeeded`);

    ok(await home.ask('connections/create', { name: 'next', type: 'KAFKA' }));
    ok(await home.ask('connections/get', { name: 'first' }));
    for (const [number, status] of statuses.entries()) {
      const answer = await home.ask('connections/get', { name: `connection-${number}` });
      if (answer.status === 404) assert.notEqual(status, 200, `connection-${number} was acknowledged`);
      else assert.deepEqual(ok(answer).details, details);
    }
  });
}

test('what is deployed has no way to be made to panic', async (t) => {
  const home = await start(t, await folder(t));
  for (const where of ['worker', 'object']) {
    ok(await home.ask('connections/create', { name: where, type: 'KAFKA' }, { headers: { 'x-patchbay-panic': where } }));
  }
});

// What an isolate holds at once is bounded: what does not fit is refused for the moment, and nothing falls over.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import test from 'node:test';

import { eventually, folder, ok, start } from './home.mjs';

const details = 'd'.repeat(256 * 1024 - 2);

test('of many lists as long as the bound at once some are refused for the moment, and all can be had', async (t) => {
  const home = await start(t, await folder(t));
  for (let number = 0; number < 31; number += 1) {
    const { id } = ok(await home.ask('connections/create', { name: `connection-${number}`, type: 'KAFKA', details }));
    ok(await home.ask('connections/add_to_workspace', { workspace_id: 7, connection_id: id }));
  }
  const list = () => home.ask('connections/list', { workspace_id: 7 });
  const answers = await Promise.all(Array.from({ length: 8 }, list));
  const whole = answers.filter((answer) => answer.status === 200);
  assert.ok(whole.length > 0);
  assert.ok(whole.every((answer) => ok(answer).connections.length === 31));
  const refused = answers.filter((answer) => answer.status === 429);
  assert.equal(whole.length + refused.length, answers.length);
  assert.ok(refused.length > 0, 'nothing is bounded');
  assert.ok(refused.every((answer) => answer.headers.has('retry-after')));
  assert.equal(ok(await list()).connections.length, 31);
});

test('large bodies that do not fit beside each other are refused for the moment, and small ones are not', async (t) => {
  const home = await start(t, await folder(t), { settings: { PATCHBAY_READS: 'strong' } });
  const { hostname, port } = new URL(home.url);
  // These come to all that an isolate holds. Each begins its body, and does not go on.
  const slow = await Promise.all(Array.from({ length: 40 }, async () => {
    const socket = connect(Number(port), hostname).on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    socket.write(`POST /v1/api/connections/get HTTP/1.1\r\nHost: ${hostname}\r\nContent-Length: ${512 * 1024}\r\n\r\n{`);
    return socket;
  }));
  const create = (name) => home.ask('connections/create', { name, type: 'KAFKA', details });
  let number = 0;
  const refused = await eventually(async () => {
    const answer = await create(`connection-${(number += 1)}`);
    return answer.status === 503 ? answer : undefined;
  }, 'nothing is bounded');
  assert.ok(refused.headers.has('retry-after'));
  ok(await home.ask('connections/create', { name: 'small', type: 'KAFKA' }));

  for (const socket of slow) socket.destroy();
  await eventually(async () => {
    const answer = await create('large');
    return answer.status === 200 ? answer : undefined;
  }, 'what clients that went away held is not given back');
});

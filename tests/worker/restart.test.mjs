// The runtime is killed in the middle of writes and started again on the same folder: nothing acknowledged is lost,
// nothing is half there, and KV comes to say what the objects say.

import assert from 'node:assert/strict';
import test from 'node:test';

import { eventually, folder, ok, start } from './home.mjs';

const KILLS = 4;
const CLIENTS = 8;
const NAMES = 3;
const WORKSPACES = [7, 8, 9];

/** A lease that outlives the test: only the outbox can make KV right. */
const settings = { PATCHBAY_EDGE_MAX_AGE: '86400' };

const within = (count) => Math.floor(Math.random() * count);

/** One name that one client changes: what was acknowledged last, and what is under way. */
class Connection {
  acknowledged = null;
  underWay = undefined;

  constructor(name) {
    this.name = name;
  }

  /** The states that it may be in: `null`, or its details and workspaces. */
  get possible() {
    return this.underWay === undefined ? [this.acknowledged] : [this.acknowledged, this.underWay];
  }

  /** Makes one change at random, which may never be answered. */
  async change(home) {
    const [operation, body, after] = this.#choice();
    this.underWay = after;
    const answer = ok(await home.ask(`connections/${operation}`, body), after === null || operation.startsWith('remove') ? 204 : 200);
    if (operation === 'create') this.id = answer.id;
    this.acknowledged = after;
    this.underWay = undefined;
  }

  #choice() {
    const now = this.acknowledged;
    if (now === null) {
      const details = { password: crypto.randomUUID() };
      const after = { details, workspaces: [] };
      return ['create', { name: this.name, type: 'KAFKA', details }, after];
    }
    if (now.workspaces.length === 0 && within(2) === 0) return ['delete', { name: this.name }, null];
    const workspace_id = WORKSPACES[within(WORKSPACES.length)];
    const pair = { workspace_id, connection_id: this.id };
    return now.workspaces.includes(workspace_id)
      ? ['remove_from_workspace', pair, { ...now, workspaces: now.workspaces.filter((one) => one !== workspace_id) }]
      : ['add_to_workspace', pair, { ...now, workspaces: [...now.workspaces, workspace_id].sort() }];
  }

  /** Takes what was found after a kill for what is so. */
  settle(found) {
    const state = found && { details: found.details, workspaces: found.workspace_names.map((name) => Number(name.slice('workspace-'.length))) };
    assert.ok(
      this.possible.some((one) => JSON.stringify(one) === JSON.stringify(state)),
      `${this.name} is ${JSON.stringify(state)}, and may be only ${JSON.stringify(this.possible)}`,
    );
    this.acknowledged = state;
    this.underWay = undefined;
    this.id = found?.id;
  }
}

test('what was acknowledged outlives kills, and KV becomes what the objects say', async (t) => {
  const data = await folder(t);
  const clients = Array.from({ length: CLIENTS }, (_, client) =>
    Array.from({ length: NAMES }, (_, name) => new Connection(`connection-${client}-${name}`)));
  let changes = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const home = await start(t, data, { settings });
    let killed = false;
    const work = clients.map(async (names) => {
      while (!killed) {
        const connection = names[within(NAMES)];
        try {
          await connection.change(home);
          changes += 1;
          // So that KV has it, and must follow.
          await home.ask('connections/get', { name: connection.name });
        } catch (error) {
          if (!killed) throw error;
        }
      }
    });
    await new Promise((done) => setTimeout(done, 300 + within(1500)));
    killed = true;
    await home.kill();
    await Promise.all(work);

    // The object knows, and lists what it knows. KV may say otherwise for a while.
    const edge = await start(t, data, { settings });
    const { connections } = ok(await edge.ask('connections/list', {}));
    const listed = new Map(connections.map((connection) => [connection.name, connection]));
    for (const connection of clients.flat()) connection.settle(listed.get(connection.name) ?? null);
    for (const { name, id, acknowledged: now } of clients.flat()) {
      const right = now && JSON.stringify([id, now.details, now.workspaces.map((id) => `workspace-${id}`)]);
      await eventually(async () => {
        // Only the object says that there is nothing.
        if (now === null) return (await edge.ask('connections/get', { name })).status === 404 || undefined;
        const found = ok(await edge.getFromKv({ name }));
        return right === JSON.stringify([found.id, found.details, found.workspace_names]) || undefined;
      }, `KV does not become right about ${name}`);
    }
    await edge.stop();
  }
  assert.ok(changes > 100, `only ${changes} changes were acknowledged`);
});

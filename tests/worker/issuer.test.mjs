// Keys that the Worker fetches from its issuer: when it asks, and what becomes of its callers meanwhile. Requests are
// counted, not timed.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'node:test';

import { eventually, folder, start } from './home.mjs';

const DOCUMENT = '/.well-known/openid-configuration';
const KEYS = '/keys';
const MANY = 50;

/** An issuer on loopback with one key. It answers as `answers` says of each path, and counts what it is asked. */
class Issuer {
  asked = { [DOCUMENT]: 0, [KEYS]: 0 };
  /** Requests whose client went away before they were answered. */
  givenUp = 0;
  answers = {
    [DOCUMENT]: (response) => response.end(JSON.stringify({ issuer: this.url, jwks_uri: this.url + KEYS })),
    [KEYS]: (response) => response.end(JSON.stringify({ keys: [this.#public] })),
  };
  #server = createServer((request, response) => {
    this.asked[request.url] = (this.asked[request.url] ?? 0) + 1;
    response.on('close', () => { this.givenUp += response.writableFinished ? 0 : 1; });
    this.answers[request.url]?.(response);
  });
  #private;
  #public;

  static async start(t) {
    const issuer = new Issuer();
    issuer.rotate('first');
    await issuer.listen();
    t.after(() => issuer.close());
    return issuer;
  }

  /** Begins to answer; again, where it did before. */
  async listen() {
    const port = this.url ? Number(new URL(this.url).port) : 0;
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  async close() {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Takes a new key instead of the one that it has. */
  rotate(kid) {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    this.#private = privateKey;
    this.#public = { ...publicKey.export({ format: 'jwk' }), kid };
  }

  /** What a call with a token by its key brings along; `kid` may be a lie. */
  bearer(kid = this.#public.kid) {
    const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const claims = { iss: this.url, aud: 'patchbay', sub: 'ann', tenant: 'acme', exp };
    const message = `${part({ alg: 'EdDSA', kid })}.${part(claims)}`;
    const token = `${message}.${sign(null, Buffer.from(message), this.#private).toString('base64url')}`;
    return { headers: { authorization: `Bearer ${token}` } };
  }

  /** A Worker that takes its tokens. */
  async home(t, more = {}) {
    const settings = { PATCHBAY_AUTH: 'oidc', PATCHBAY_ISSUER: this.url, PATCHBAY_AUDIENCE: 'patchbay', ...more };
    return start(t, await folder(t), { settings });
  }
}

const list = (home, bearer) => home.ask('connections/list', {}, bearer);

/** The statuses that calls at once get, each of them named once. */
async function statuses(home, bearers) {
  const answers = await Promise.all(bearers.map((bearer) => list(home, bearer)));
  return [...new Set(answers.map(({ status }) => status))];
}

const times = (count, make) => Array.from({ length: count }, (_, number) => make(number));

test('keys are found by discovery, with one question for many calls at once', async (t) => {
  const issuer = await Issuer.start(t);
  const home = await issuer.home(t);
  for (let round = 0; round < 2; round += 1) {
    assert.deepEqual(await statuses(home, times(MANY, () => issuer.bearer())), [200]);
  }
  assert.deepEqual(issuer.asked, { [DOCUMENT]: 1, [KEYS]: 1 });
  assert.match(home.output, /"the issuer gave its keys","url":"http:\S+\/keys","keys":1,"fresh_seconds":3600}/);
});

test('keys are found at an address that is given, and count as fresh for as long as the issuer says', async (t) => {
  const issuer = await Issuer.start(t);
  const good = issuer.answers[KEYS];
  issuer.answers[KEYS] = (response) => good(response.setHeader('cache-control', 'max-age=600'));
  const home = await issuer.home(t, { PATCHBAY_JWKS_URL: issuer.url + KEYS });
  const answer = await list(home, issuer.bearer());
  assert.equal(answer.status, 200);
  assert.deepEqual(issuer.asked, { [DOCUMENT]: 0, [KEYS]: 1 });
  await answer.entry;
  assert.match(home.output, /"the issuer gave its keys","url":"http:\S+\/keys","keys":1,"fresh_seconds":600}/);
});

test('callers who go away while the issuer is asked leave the answer to the others', async (t) => {
  const issuer = await Issuer.start(t);
  const home = await issuer.home(t, { PATCHBAY_JWKS_URL: issuer.url + KEYS });
  const good = issuer.answers[KEYS];
  let answer;
  const asked = new Promise((heard) => {
    issuer.answers[KEYS] = (response) => {
      answer = () => good(response);
      heard();
    };
  });
  const gone = new AbortController();
  const first = list(home, { ...issuer.bearer(), signal: gone.signal });
  await asked;
  const others = times(MANY, () => list(home, issuer.bearer()));
  gone.abort();
  await assert.rejects(first, { name: 'AbortError' });
  answer();
  for (const { status } of await Promise.all(others)) assert.equal(status, 200);
  assert.equal(issuer.asked[KEYS], 1);
});

for (const [manner, { path = KEYS, answer, why, givenUp = 0 }] of Object.entries({
  'never answers': { answer: () => {}, why: 'there is no answer within 5 s', givenUp: 1 },
  'never ends': { answer: (response) => response.write('{"keys":['), why: 'there is no answer within 5 s', givenUp: 1 },
  'floods': {
    answer: (response) => {
      const flood = () => { while (response.writable && response.write(' '.repeat(65_536))); };
      response.on('drain', flood);
      flood();
    },
    why: 'the answer is over 1 MiB',
    givenUp: 1,
  },
  'answers garbage': { answer: (response) => response.end('<html>Sign in</html>'), why: 'must be a JSON Web Key Set' },
  'gives garbage as its document': {
    path: DOCUMENT,
    answer: (response) => response.end('<html>Sign in</html>'),
    why: 'not a JSON object',
  },
  'gives the document of another': {
    path: DOCUMENT,
    answer: (response) => response.end('{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"}'),
    why: 'another `issuer`',
  },
})) {
  test(`of an issuer that ${manner} no key is taken, no call waits for ever, and the log says why`, async (t) => {
    const issuer = await Issuer.start(t);
    issuer.answers[path] = answer;
    const home = await issuer.home(t);
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await statuses(home, times(MANY, () => issuer.bearer())), [503]);
    }
    assert.deepEqual(issuer.asked, { [DOCUMENT]: 1, [KEYS]: path === KEYS ? 1 : 0 });
    const said = home.output.split('\n').find((line) => line.includes('the issuer did not give its keys'));
    assert.ok(JSON.parse(said).why.includes(why), said);
    await eventually(() => issuer.givenUp === givenUp || undefined, 'the connection is still open');
  });
}

test('redirects are not followed', async (t) => {
  const issuer = await Issuer.start(t);
  issuer.answers['/elsewhere'] = issuer.answers[KEYS];
  issuer.answers[KEYS] = (response) => response.writeHead(302, { location: '/elsewhere' }).end();
  const home = await issuer.home(t);
  assert.equal((await list(home, issuer.bearer())).status, 503);
  assert.deepEqual(issuer.asked, { [DOCUMENT]: 1, [KEYS]: 1 });
});

test('an issuer that is away is asked again, for unknown keys no more often, and known keys go on', async (t) => {
  const issuer = await Issuer.start(t);
  const home = await issuer.home(t);
  await issuer.close();
  const refused = await list(home, issuer.bearer());
  assert.equal(refused.status, 503);
  assert.match(refused.headers.get('retry-after'), /^\d+$/);
  await issuer.listen();
  let from;
  const taken = async () => {
    from = Date.now();
    return (await list(home, issuer.bearer())).status === 200 || undefined;
  };
  await eventually(taken, 'its tokens are never taken');
  assert.deepEqual(issuer.asked, { [DOCUMENT]: 1, [KEYS]: 1 });

  for (let batch = 0; batch < 100; batch += 1) {
    const unknown = times(100, (number) => issuer.bearer(`unknown-${batch}-${number}`));
    assert.deepEqual(await statuses(home, unknown), [401]);
    const most = 1 + Math.floor((Date.now() - from) / 30_000);
    assert.ok(issuer.asked[KEYS] <= most, `${issuer.asked[KEYS]} times instead of ${most}`);
  }

  await issuer.close();
  const known = async () => assert.deepEqual(await statuses(home, [issuer.bearer(), issuer.bearer('unknown')]), [200, 401]);
  const inVain = await eventually(async () => {
    await known();
    return home.output.split('\n').find((line) => line.includes('those that are known go on'));
  }, 'it is not asked again');
  assert.equal(JSON.parse(inVain).level, 'WARN');
  await known();

  const old = issuer.bearer();
  const before = { ...issuer.asked };
  issuer.rotate('second');
  await issuer.listen();
  await eventually(taken, 'the new key is never taken');
  assert.equal((await list(home, old)).status, 401);
  assert.deepEqual(issuer.asked, { [DOCUMENT]: before[DOCUMENT] + 1, [KEYS]: before[KEYS] + 1 });
});

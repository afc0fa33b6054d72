// A real OpenID Connect issuer on a free port of loopback, which knows three clients of one tenant: `ann`, `bob`, and
// `root`, who is an admin. Each gets access tokens, as JWTs, for any resource, by its own id as its secret.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(issuer, {
  clients: ['ann', 'bob', 'root'].map((id) => ({
    client_id: id,
    client_secret: id,
    id_token_signed_response_alg: 'ES256',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' }] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: '',
        accessTokenFormat: 'jwt',
        accessTokenTTL: 3600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
  extraTokenClaims: (_, token) => ({
    org: { tenant: 'acme' },
    email: `${token.clientId}@acme.example`,
    email_verified: true,
    roles: token.clientId === 'root' ? ['user', 'patchbay-admin'] : ['user'],
  }),
});
server.on('request', provider.callback());
process.on('SIGTERM', () => process.exit(0));
console.log(`The issuer answers on ${issuer}`);

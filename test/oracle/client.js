// client.js: Alibaba Cloud's own JavaScript client behind a pipe.
//
// One JSON object a line in, one a line out:
//
//   {"sign": {access_key_id, access_key_secret, security_token, method, host, action, version, epoch, nonce, query}}
//       -> {date, canonical_request, string_to_sign, authorization}
//   {"call": {access_key_id, access_key_secret, security_token, host, ca_file, action, version, query, name_provider}}
//       -> {status, body}
//
// Nothing of the signature is written here.  The date and the signature come from functions of the client's, the
// stages in between are seen on their way into its hash and its HMAC.

'use strict';

const fs = require('fs');
const readline = require('readline');

const {default: Client, Config, OpenApiRequest, Params} = require('@alicloud/openapi-client');
const {default: OpenApiUtil} = require('@alicloud/openapi-util');
const {RuntimeOptions} = require('@alicloud/tea-util');

const ALGORITHM = 'ACS3-HMAC-SHA256';
const TIMEOUT_MS = 10000;

const RealDate = Date;

// What the client's function `name` was given while `action` ran, and what `action` returned.
function watch(name, argument, action) {
  const original = OpenApiUtil[name];
  let seen;
  OpenApiUtil[name] = (...given) => {
    seen = String(given[argument]);
    return original(...given);
  };
  try {
    return {result: action(), seen};
  } finally {
    OpenApiUtil[name] = original;
  }
}

// The client's own time stamp, at a time of our choice.
function timestamp(epoch) {
  globalThis.Date = class extends RealDate {
    constructor() {
      super(epoch * 1000);
    }
  };
  try {
    return OpenApiUtil.getTimestamp();
  } finally {
    globalThis.Date = RealDate;
  }
}

// The request object as the client's doRequest() fills it, but for the date and the nonce.
function signedRequest(wanted, payload) {
  const headers = {
    'host': wanted.host,
    'x-acs-version': wanted.version,
    'x-acs-action': wanted.action,
    'user-agent': 'not signed',
    'x-acs-date': timestamp(wanted.epoch),
    'x-acs-signature-nonce': wanted.nonce,
    'accept': 'application/json',
    'x-acs-content-sha256': payload,
  };
  if (wanted.security_token !== null) {
    headers['x-acs-security-token'] = wanted.security_token;
  }
  return {method: wanted.method, pathname: '/', query: OpenApiUtil.query(wanted.query), headers};
}

function sign(wanted) {
  const payload = OpenApiUtil.hexEncode(OpenApiUtil.hash(Buffer.from(''), ALGORITHM));
  const request = signedRequest(wanted, payload);
  const authorize = () => OpenApiUtil.getAuthorization(
    request, ALGORITHM, payload, wanted.access_key_id, wanted.access_key_secret);
  const hashed = watch('hash', 0, () => watch('signatureMethod', 1, authorize));
  return {
    date: request.headers['x-acs-date'],
    canonical_request: hashed.seen,
    string_to_sign: hashed.result.seen,
    authorization: hashed.result.result,
  };
}

// The keys as a configuration names them, or from an object that does not say where they are from.
function credentials(wanted) {
  const keys = {
    accessKeyId: wanted.access_key_id,
    accessKeySecret: wanted.access_key_secret,
    securityToken: wanted.security_token === null ? undefined : wanted.security_token,
  };
  return wanted.name_provider ? keys : {credential: {getCredential: async () => keys}};
}

// As the clients that Alibaba generates for each product do it.
async function call(wanted) {
  const client = new Client(new Config({
    ...credentials(wanted),
    endpoint: wanted.host,
    ca: fs.readFileSync(wanted.ca_file, 'utf8'),
    connectTimeout: TIMEOUT_MS,
    readTimeout: TIMEOUT_MS,
  }));
  const params = new Params({
    action: wanted.action,
    version: wanted.version,
    protocol: 'HTTPS',
    pathname: '/',
    method: 'POST',
    authType: 'AK',
    style: 'RPC',
    reqBodyType: 'formData',
    bodyType: 'json',
  });
  const request = new OpenApiRequest({query: OpenApiUtil.query(wanted.query)});
  try {
    const answer = await client.callApi(params, request, new RuntimeOptions({}));
    return {status: answer.statusCode, body: answer.body};
  } catch (error) {
    if (!error.data || !error.data.statusCode) {
      throw error;
    }
    const {statusCode, ...body} = error.data;
    return {status: statusCode, body};
  }
}

async function main() {
  for await (const line of readline.createInterface({input: process.stdin})) {
    const wanted = JSON.parse(line);
    const answer = wanted.sign ? sign(wanted.sign) : await call(wanted.call);
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);  // connections that the client keeps alive do not keep the test waiting
}

main().catch((error) => {
  process.stderr.write(`test/oracle/client.js: ${error.stack}\n`);
  process.exit(1);
});

// server.js: sign-up and log-in by a code, with Express and node-postgres. README.md says how to start it.
'use strict';
const { createHash, randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const express = require('express');
const { Pool } = require('pg');

const { PORT = 8080, HOST = '127.0.0.1', ORIGIN = `http://127.0.0.1:${PORT}`, TRUST_PROXY = false } = process.env;
const HIDDEN = "replace(state, 'failed', 'pending')"; // a log-in whose message is refused must not tell that somebody is a member
const ROW = `channel, refused, retry_after, greatest(0, ceil(extract(epoch FROM resend_at - clock_timestamp())))::integer AS resend_in`;
const BEGIN = `SELECT id, ${HIDDEN} AS state, ${ROW} FROM pnvs.begin_verification($1::text, purpose => $2::text,
	session_key => $3::text, rate_key => $4::text, send => $5::boolean)`;
const RESEND = `SELECT ${HIDDEN} AS state, ${ROW} FROM pnvs.resend_verification($1::uuid, $2::text)`;
const STATUS = `SELECT CASE purpose WHEN 'sign-up' THEN state ELSE ${HIDDEN} END AS state, purpose, ${ROW} FROM pnvs.phone_verification_status($1::uuid)`;
const CONFIRM = `SELECT approved, ${HIDDEN} AS state, tries_left, retry_after FROM pnvs.confirm_verification($1::uuid, $2::text)`;
// The browser says the number; the table takes it only if this verification is of the same number.
const SIGN_UP = `WITH new AS (INSERT INTO member (verification, phone)
		VALUES ($2::uuid, pnvs.normalize_phone_number($3::text)) ON CONFLICT (phone) DO NOTHING RETURNING id, phone),
	entry AS (INSERT INTO session (key, member) SELECT $1::bytea, id FROM new) SELECT phone FROM new`;
// Only who has verified a number learns that it has an account.
const OWNS = "SELECT pnvs.use_verification($1::uuid, 'sign-up') = pnvs.normalize_phone_number($2::text) AS owns";
// The verification says the number, whatever the browser says.
const LOG_IN = `WITH known AS (SELECT id, phone FROM pnvs.use_verification($2::uuid, 'log-in') AS n JOIN member ON phone = n),
	entry AS (INSERT INTO session (key, member) SELECT $1::bytea, id FROM known) SELECT phone FROM known`;
const IS_MEMBER = 'SELECT FROM member WHERE phone = pnvs.normalize_phone_number($1::text)';
const HTTP_STATUS = { too_many: 429, try_later: 503, not_available_here: 422, not_a_number: 422, not_this_page: 403 };
const BY_SQLSTATE = { 22021: { refused: 'not_a_number' }, 22023: { refused: 'not_a_number' }, '22P02': { state: 'canceled' } };

const sha256 = (data) => createHash('sha256').update(data).digest(), newKey = () => randomBytes(32).toString('base64url');
const page = readFileSync(`${__dirname}/index.html`, 'utf8'), source = (tag) => `'sha256-${sha256(page.split(`<${tag}>`)[1].split(`</${tag}>`)[0]).toString('base64')}'`;
const HEADERS = { 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer', 'Content-Security-Policy': `default-src 'none';
	script-src ${source('script')}; style-src ${source('style')}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`.replace(/\s+/g, ' ') };
const COOKIE = { httpOnly: true, sameSite: 'strict', secure: ORIGIN.startsWith('https:') };
const [SESSION, VERIFICATION] = ['session', 'verification'].map((name) => (COOKIE.secure ? `__Host-${name}` : name)); // no other host can set these
const pool = new Pool().on('error', ({ code }) => console.error('an idle connection was lost:', code));
const one = async (sql, values) => {
	const client = await pool.connect(); // pool.query() would close the connection after any error
	return client.query(sql, values).then(({ rows }) => rows[0]).finally(() => client.release());
};
const answer = (response, row) => response.set(row.retry_after ? { 'Retry-After': String(row.retry_after) } : {})
	.status(HTTP_STATUS[row.refused] ?? (row.retry_after ? 429 : 200)).json(row);

const app = express().disable('x-powered-by').set('trust proxy', TRUST_PROXY);
app.use((request, response, next) => {
	const sent = Object.fromEntries((request.headers.cookie ?? '').split('; ').map((cookie) => cookie.split('=')));
	Object.assign(request, { body: {}, cookies: { session: sent[SESSION], verification: sent[VERIFICATION] } });
	response.set(HEADERS);
	next();
});
app.get('/', ({ cookies }, response) => (cookies.session ? response : response.cookie(SESSION, newKey(), COOKIE)).send(page));
app.use('/api', ({ method, headers, cookies }, response, next) =>
	(cookies.session && (method === 'GET' || headers.origin === ORIGIN) ? next() : answer(response, { refused: 'not_this_page' })),
express.json({ limit: '1kb' }));
app.get('/api/state', async ({ cookies: { session, verification } }, response) => {
	const member = await one('SELECT phone FROM session JOIN member ON id = member WHERE key = $1::bytea', [sha256(session)]);
	answer(response, member ? { member: member.phone } : verification ? await one(STATUS, [verification]) : {});
});
app.post('/api/begin', async ({ body: { purpose, phone }, cookies, ip }, response) => {
	const send = purpose === 'sign-up' || Boolean(await one(IS_MEMBER, [phone]));
	const { id, ...row } = await one(BEGIN, [phone, purpose, cookies.session, ip, send]);
	answer(row.refused ? response : response.cookie(VERIFICATION, id, COOKIE), row);
});
app.post('/api/resend', async ({ body: { channel }, cookies: { verification } }, response) =>
	answer(response, await one(RESEND, [verification ?? '', channel === 'VOICE' ? 'VOICE' : null])));
app.post('/api/confirm', async ({ body: { phone, code }, cookies: { verification } }, response) => {
	const row = await one(CONFIRM, [verification ?? '', code ?? '']).catch((error) => { throw error.code === '22023' ? { code: 'a setting' } : error; });
	if (!row.approved) return answer(response, row);
	const key = newKey(), isNew = (await one(STATUS, [verification])).purpose === 'sign-up'; // whatever the browser says
	const member = await one(isNew ? SIGN_UP : LOG_IN, [sha256(key), verification, ...isNew ? [phone ?? ''] : []])
		.catch((error) => { if (error.code !== '23514') throw error; }); // of another number: used up like that of an owner
	if (!member) return answer(response, { state: isNew && (await one(OWNS, [verification, phone])).owns ? 'has_account' : 'canceled' });
	answer(response.cookie(SESSION, key, COOKIE).clearCookie(VERIFICATION, COOKIE), { member: member.phone });
});
app.post('/api/leave', async ({ cookies }, response) => answer(response.cookie(SESSION, newKey(), COOKIE),
	await one('DELETE FROM session WHERE key = $1::bytea', [sha256(cookies.session)]) ?? {}));
app.use((error, request, response, next) => { // its message could hold what the person typed: it is not logged
	console.error('an error:', error.code ?? error.type ?? error.stack, error.constraint ?? '');
	answer(response, BY_SQLSTATE[error.code] ?? { refused: error.status < 500 ? 'not_this_page' : 'try_later' });
});
app.listen(PORT, HOST, (error) => console.log(error ? `could not listen: ${error.code}` : `The page is ${ORIGIN}`));

// postgraphile.js: pnvs through PostGraphile 4, as a client of GraphQL sees it.

'use strict';

const http = require('http');
const { Pool } = require('pg');
const { postgraphile } = require('postgraphile');
const { ok, is, begins, until, run } = require('./tap');

const QUICK_MS = 1000;

// Without "extendedErrors" a client gets the message alone.
const OPTIONS = {
	disableQueryLog: true,
	extendedErrors: ['errcode', 'detail', 'hint', 'where'],
	graphileBuildOptions: { pgIncludeExtensionResources: true },
};

const START = `mutation ($to: String!, $serviceSid: String!) {
	startVerification(input: { channel: "SMS", to: $to, serviceSid: $serviceSid }) {
		startVerificationResult { success verificationId verifyCode httpStatus }
	}
}`;
const CHECK = `mutation ($code: String!, $verificationId: String!, $to: String!) {
	checkVerification(input: { code: $code, verificationId: $verificationId, to: $to }) {
		checkVerificationResult { approved status }
	}
}`;
const ENQUEUE = `mutation ($to: String!) {
	enqueueVerification(input: { channel: "SMS", to: $to, serviceSid: "FA1", sendWithin: { minutes: 2 } }) { bigInt }
}`;
const AWAIT = `mutation ($id: BigInt!) {
	awaitVerification(input: { id: $id, timeout: { seconds: 20 } }) { verificationQueue { id state } }
}`;
const QUEUE = 'query ($id: BigInt!) { allVerificationQueues(condition: { id: $id }) { nodes { state settledAt } } }';

const JOIN = `mutation ($phone: String, $verificationId: UUID) {
	createMember(input: { member: { phone: $phone, verificationId: $verificationId } }) { member { id } }
}`;

const BEGIN = `mutation ($to: String!) {
	beginVerification(input: { to: $to, channels: ["SMS"], purpose: "sign-up", validFor: { minutes: 5 }, serviceSid: "FA1" }) {
		beginVerificationResult { id state channel refused retryAfter resendAt expiresAt }
	}
}`;
const RESEND = `mutation ($id: UUID!) {
	resendVerification(input: { id: $id, channel: "VOICE" }) { beginVerificationResult { state refused retryAfter } }
}`;
const CONFIRM = `mutation ($id: UUID!, $code: String!) {
	confirmVerification(input: { id: $id, code: $code }) { confirmVerificationResult { approved state triesLeft retryAfter } }
}`;
const STATUS = `mutation ($id: UUID!) {
	phoneVerificationStatus(input: { id: $id }) { phoneVerificationStatusResult { state purpose } }
}`;
const USE = 'mutation ($id: UUID!) { useVerification(input: { id: $id, purpose: "sign-up" }) { string } }';
const CANCEL = 'mutation ($id: UUID!) { cancelPhoneVerification(input: { id: $id }) { boolean } }';
const HISTORY = `mutation ($to: String!) {
	verificationHistory(input: { to: $to }) { verificationHistoryRecords { event channel count } }
}`;
const ERASE = 'mutation ($to: String!) { erasePhoneNumber(input: { to: $to }) { bigInt } }';

// serve(POOL, OPTIONS, [SCHEMA]): {ask(QUERY, VARIABLES): the reply}
async function serve(pool, options, schema = 'pnvs') {
	const server = http.createServer(postgraphile(pool, [schema], options));

	await new Promise((resume) => server.listen(0, '127.0.0.1', resume));

	async function ask(query, variables, signal) {
		const reply = await fetch(`http://127.0.0.1:${server.address().port}/graphql`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ query, variables }),
			signal,
		});

		return reply.json();
	}

	return { ask };
}

async function value(pool, sql, parameters) {
	return (await pool.query({ text: sql, values: parameters, rowMode: 'array' })).rows[0][0];
}

async function signUp(pool, { ask }) {
	const to = '+62 811-0002-0001';
	const started = (await ask(START, { to, serviceSid: 'FA1' })).data.startVerification.startVerificationResult;

	is(started.success, true, 'the mutation startVerification sends: success is a boolean');
	is(started.httpStatus, 200, 'httpStatus is a number');
	is(started.verifyCode, null, 'a NULL is null');
	is(await value(pool, 'SELECT phone.messages($1)', ['6281100020001']), 1, 'one message went out');

	const code = await value(pool, 'SELECT phone.code($1)', ['6281100020001']);
	const wrongCode = code.slice(0, -1) + (Number(code.slice(-1)) + 1) % 10;
	const check = async (typed) => (await ask(CHECK, { code: typed, verificationId: started.verificationId, to }))
		.data.checkVerification.checkVerificationResult.approved;

	is(await check(wrongCode), false, 'a wrong code is no error: approved is false');
	is(await check(code), true, 'the right code is approved');
}

// From beginning to end.
async function verify(pool, { ask }) {
	const to = '6281100020009';
	const begun = (await ask(BEGIN, { to })).data.beginVerification.beginVerificationResult;
	const { id } = begun;
	const confirm = async (code) => {
		let row;

		await until('a judgement', async () => {
			row = (await ask(CONFIRM, { id, code })).data.confirmVerification.confirmVerificationResult;
			return row.retryAfter === null;
		});
		return row;
	};

	is(begun.state, 'pending', 'the mutation beginVerification takes a list of channels');
	ok(!Number.isNaN(Date.parse(begun.expiresAt)), 'its times are Datetimes', begun.expiresAt);
	is((await ask(RESEND, { id })).data.resendVerification.beginVerificationResult.refused, 'too_many', 'a refusal is no error');
	await until('the message', async () => await value(pool, 'SELECT phone.messages($1)', [to]) === 1);
	is((await confirm('wrong')).triesLeft, 4, 'confirmVerification: a wrong code is no error, triesLeft is a number');
	is((await confirm(await value(pool, 'SELECT phone.code($1)', [to]))).approved, true, 'the right one is approved');
	is((await ask(STATUS, { id })).data.phoneVerificationStatus.phoneVerificationStatusResult.state, 'approved', 'the status says so');
	is((await ask(USE, { id })).data.useVerification.string, `+${to}`, 'useVerification gives the number');
	is((await ask(USE, { id })).data.useVerification.string, null, 'once');
	is((await ask(CANCEL, { id })).data.cancelPhoneVerification.boolean, false, 'and then it is not canceled');

	const events = (await ask(HISTORY, { to })).data.verificationHistory.verificationHistoryRecords.map(({ event }) => event);

	ok(['begun', 'message_sent', 'used'].every((event) => events.includes(event)), 'the history is a list', events);
	ok(Number((await ask(ERASE, { to })).data.erasePhoneNumber.bigInt) > 0, 'erasePhoneNumber forgets the number');
}

async function queue({ ask }) {
	const id = (await ask(ENQUEUE, { to: '+62 811-0002-0002' })).data.enqueueVerification.bigInt;
	const awaited = (await ask(AWAIT, { id })).data.awaitVerification.verificationQueue;
	const [row] = (await ask(QUEUE, { id })).data.allVerificationQueues.nodes;

	is(typeof id, 'string', 'the ID, a BigInt, is a string');
	is(awaited.state, 'sent', 'the mutation awaitVerification says what became of the queued message');
	is(row.state, 'sent', 'the query allVerificationQueues says the same');
	ok(!Number.isNaN(Date.parse(row.settledAt)), 'a Datetime is text in the form of ISO 8601', row.settledAt);
}

// With a single connection, so that the next query meets what a request has left.
async function seeNotSent() {
	const pool = new Pool({ max: 1 });
	const { ask } = await serve(pool, { ...OPTIONS, pgSettings: { 'pnvs.endpoint': process.env.UNREACHABLE } });
	const reply = await ask(START, { to: '6281100020003', serviceSid: 'FA1' });

	is(reply.data.startVerification, null, 'not sent: the mutation is null');
	is(reply.errors[0].errcode, '38V01', 'not sent: errcode is 38V01');
	begins(reply.errors[0].detail, 'sent=no stage=connect', 'not sent: detail says so');
	is(await value(pool, 'SELECT phone.messages($1)', ['6281100020003']), 0, 'not sent: no message went out');
	is(await value(pool, "SELECT current_setting('pnvs.endpoint') = $1", [process.env.UNREACHABLE]), false,
		'pgSettings do not outlast the request');
}

async function seeMaybeSent(pool, { ask }) {
	const reply = await ask(START, { to: '6281100020004', serviceSid: 'sim:close' });

	is(reply.errors[0].errcode, '38V02', 'maybe sent: errcode is 38V02');
	begins(reply.errors[0].detail, 'sent=maybe stage=reply', 'maybe sent: detail says so');
	is(await value(pool, 'SELECT phone.messages($1)', ['6281100020004']), 1, 'maybe sent: nothing was repeated');
}

async function hideErrors(pool) {
	const { ask } = await serve(pool, { ...OPTIONS, extendedErrors: undefined });
	const reply = await ask(START, { to: '6281100020005', serviceSid: 'sim:close' });

	ok(!JSON.stringify(reply).includes('38V02'), 'without extendedErrors a client gets no SQLSTATE',
		JSON.stringify(reply));
}

async function hideExtension(pool) {
	const { ask } = await serve(pool, { ...OPTIONS, graphileBuildOptions: {} });
	const names = (await ask('{ __schema { types { name } } }')).data.__schema.types.map(({ name }) => name);

	ok(!names.some((name) => name.includes('Verification')),
		'without pgIncludeExtensionResources nothing of pnvs is in the schema', names.join());
}

async function timeOut(pool) {
	const { ask } = await serve(pool, { ...OPTIONS, pgSettings: { statement_timeout: '500' } });
	const [error] = (await ask(START, { to: '6281100020006', serviceSid: 'sim:hang' })).errors;

	is(error.errcode, '57014', 'statement_timeout in pgSettings ends a call that hangs: errcode is 57014');
	begins(error.where, 'call of the verification service: sent=maybe stage=reply',
		'cancelled: where says that it may have been sent');
}

// What violates the constraint becomes an error at the field; other errors stay as they are.
function explain(errors) {
	return errors.map(({ message, originalError }) => (originalError?.code === '23514'
		&& originalError.constraint === 'member_phone_verified'
		? { message: 'Verify this number first.', extensions: { code: 'BAD_USER_INPUT', field: 'phone' } } : { message }));
}

async function seeUnverified(pool) {
	const { ask } = await serve(pool, { disableQueryLog: true, handleErrors: explain }, 'signup');
	const member = { phone: '6281100020008', verificationId: 'a8098c1a-f86e-41da-bd1a-00112444be1e' };
	const refused = await ask(JOIN, member);

	is(refused.data.createMember, null, 'unverified: the mutation createMember is null');
	is(refused.errors[0].message, 'Verify this number first.', 'unverified: handleErrors knows the constraint by its name');
	is(refused.errors[0].extensions?.field, 'phone', 'unverified: and names the field');
	is(await value(pool, 'SELECT count(*)::integer FROM signup.member WHERE phone = $1', [member.phone]), 0,
		'unverified: there is no such member');
	ok((await ask(JOIN, {})).data.createMember.member.id > 0, 'unverified: a member without a number is one');
}

// Whoever waits for the reply to a request cannot cancel the call; the server can.
async function cancel(pool, { ask }) {
	const number = '6281100020007';
	const running = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%start_verification%'"
		+ ' AND usename = current_user AND pid <> pg_backend_pid()';
	const browser = new AbortController();
	const abandoned = ask(START, { to: number, serviceSid: 'sim:hang' }, browser.signal).catch((error) => error.name);

	await until('a request', async () => await value(pool, 'SELECT phone.requests($1)', [number]) === 1);
	browser.abort();
	is(await abandoned, 'AbortError', 'a browser gives a request up');
	is((await pool.query(running)).rowCount, 1, 'its call goes on');

	const pid = await value(pool, running);
	const begun = Date.now();

	await pool.query('SELECT pg_cancel_backend($1)', [pid]);
	await until('the end of the call', async () => (await pool.query(running)).rowCount === 0);
	ok(Date.now() - begun < QUICK_MS, 'pg_cancel_backend() ends it', Date.now() - begun);
}

run(async () => {
	const pool = new Pool();
	const server = await serve(pool, OPTIONS);

	await signUp(pool, server);
	await verify(pool, server);
	await queue(server);
	await seeNotSent();
	await seeMaybeSent(pool, server);
	await hideErrors(pool);
	await hideExtension(pool);
	await timeOut(pool);
	await seeUnverified(pool);
	await cancel(pool, server);
});

// node_postgres.js: pnvs from node-postgres (the package "pg").

'use strict';

const { Client } = require('pg');
const { ok, is, begins, until, errorOf, run } = require('./tap');

const SERVICE = 'FA1';
const QUICK_MS = 1000;
const START = 'SELECT * FROM pnvs.start_verification($1, $2, $3)';

async function connect(options) {
	const client = new Client(options);

	await client.connect();
	return client;
}

async function value(client, sql, parameters) {
	const result = await client.query({ text: sql, values: parameters, rowMode: 'array' });

	return result.rows[0][0];
}

async function signUp(client) {
	const number = '+62 811-0001-0001';
	const check = 'SELECT * FROM pnvs.check_verification($1, $2, $3)';
	const started = (await client.query(START, ['SMS', number, SERVICE])).rows[0];

	is(started.success, true, 'start_verification sends: success is a boolean');
	is(started.http_status, 200, 'http_status is a number');
	is(started.verify_code, null, 'a NULL is null');

	const code = await value(client, 'SELECT phone.code($1)', ['6281100010001']);
	const wrongCode = code.slice(0, -1) + (Number(code.slice(-1)) + 1) % 10;
	const wrong = (await client.query(check, [wrongCode, started.verification_id, number])).rows[0];
	const right = (await client.query(check, [code, started.verification_id, number])).rows[0];

	is(wrong.approved, false, 'a wrong code is a row: approved is false');
	is(right.approved, true, 'the right code is approved');
	is(await value(client, 'SELECT phone.messages($1)', ['6281100010001']), 1, 'one message went out');

	const packed = await value(client, 'SELECT pnvs.start_verification($1, $2, $3)', ['SMS', number, SERVICE]);

	is(typeof packed, 'string', 'a function outside FROM returns its row as one string');
}

// From beginning to end.
async function verify(client) {
	const number = '6281100010007';
	const begin = "SELECT * FROM pnvs.begin_verification($1, $2, 'sign-up', session_key => $3, service_sid => $4)";
	const [begun] = (await client.query(begin, [`+${number}`, ['SMS', 'VOICE'], 'a secret of the session', SERVICE])).rows;
	const confirm = async (typed) => {
		let row;

		await until('a judgement', async () => {
			[row] = (await client.query('SELECT * FROM pnvs.confirm_verification($1, $2)', [begun.id, typed])).rows;
			return row.retry_after === null;
		});
		return row;
	};

	is(begun.state, 'pending', 'begin_verification takes an array of channels');
	is(typeof begun.id, 'string', 'the ID, a uuid, is a string');
	ok(begun.expires_at instanceof Date, 'its times are Dates');
	await until('the message', async () => await value(client, 'SELECT phone.messages($1)', [number]) === 1);

	const code = await value(client, 'SELECT phone.code($1)', [number]);

	is((await confirm('wrong')).tries_left, 4, 'confirm_verification: a wrong code is a row, tries_left a number');
	is((await confirm(code)).approved, true, 'the right one is approved');
	is(await value(client, "SELECT pnvs.use_verification($1, 'sign-up')", [begun.id]), `+${number}`, 'and gives the number');
	is(await value(client, "SELECT pnvs.use_verification($1, 'sign-up')", [begun.id]), null, 'once');
}

async function listen(client) {
	const listener = await connect();
	const heard = new Map();

	listener.on('notification', ({ payload }) => {
		const message = JSON.parse(payload);

		heard.set(String(message.id), message.state);
	});
	await listener.query('LISTEN pnvs_verification');

	const id = await value(client, 'SELECT pnvs.enqueue_verification($1, $2, $3, send_within => $4)',
		['SMS', '+62 811-0001-0002', SERVICE, '2 minutes']);

	is(typeof id, 'string', 'the ID, a bigint, is a string');
	await until('a notification', () => heard.has(id));
	is(heard.get(id), 'sent', 'a notification says what became of the queued message');

	const row = (await listener.query('SELECT * FROM pnvs.verification_queue WHERE id = $1', [id])).rows[0];

	is(row.state, 'sent', 'the row says the same');
	ok(row.settled_at instanceof Date, 'a timestamptz is a Date');
	is((await client.query('SELECT * FROM pnvs.await_verification($1)', [id])).rows[0].id, id,
		'await_verification takes the ID as it came');
	await listener.end();
}

async function seeNotSent(client) {
	await client.query('BEGIN');
	await client.query("SELECT set_config('pnvs.endpoint', $1, true)", [process.env.UNREACHABLE]);

	const error = await errorOf(client.query(START, ['SMS', '6281100010003', SERVICE]));

	await client.query('ROLLBACK');
	is(error.code, '38V01', 'not sent: error.code is 38V01');
	begins(error.detail, 'sent=no stage=connect', 'not sent: error.detail says so');
	ok(error.hint.length > 0, 'not sent: error.hint says what to do');
	is(await value(client, 'SELECT phone.messages($1)', ['6281100010003']), 0, 'not sent: no message went out');
}

async function seeMaybeSent(client) {
	const error = await errorOf(client.query(START, ['SMS', '6281100010004', 'sim:close']));

	is(error.code, '38V02', 'maybe sent: error.code is 38V02');
	begins(error.detail, 'sent=maybe stage=reply', 'maybe sent: error.detail says so');
	is(await value(client, 'SELECT phone.messages($1)', ['6281100010004']), 1, 'maybe sent: nothing was repeated');
}

async function cancel(client) {
	const number = '6281100010005';
	const watcher = await connect();
	const call = errorOf(client.query(START, ['SMS', number, 'sim:hang']));

	await until('a request', async () => await value(watcher, 'SELECT phone.requests($1)', [number]) === 1);

	const begun = Date.now();

	await watcher.query('SELECT pg_cancel_backend($1)', [client.processID]);

	const error = await call;

	ok(Date.now() - begun < QUICK_MS, 'pg_cancel_backend(client.processID) ends a call that hangs', Date.now() - begun);
	is(error.code, '57014', 'cancelled: error.code is 57014');
	begins(error.where, 'call of the verification service: sent=maybe stage=reply',
		'cancelled: error.where says that it may have been sent');
	is(await value(client, 'SELECT 1'), 1, 'cancelled: the client goes on');
	await watcher.end();
}

async function timeOut(client) {
	const patient = await connect({ query_timeout: 500 });
	const limited = await connect({ statement_timeout: 500 });
	const active = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1";

	is((await errorOf(limited.query(START, ['SMS', '6281100010006', 'sim:hang']))).code, '57014',
		'statement_timeout ends a call: error.code is 57014');
	await limited.end();

	is((await errorOf(patient.query(START, ['SMS', '6281100010007', 'sim:hang']))).code, undefined,
		'query_timeout rejects the promise without an error of the server');
	is(await value(client, active, [patient.processID]), true, 'query_timeout leaves the call running');
	await client.query('SELECT pg_cancel_backend($1)', [patient.processID]);
	await patient.end();
}

run(async () => {
	const client = await connect();

	await signUp(client);
	await verify(client);
	await listen(client);
	await seeNotSent(client);
	await seeMaybeSent(client);
	await cancel(client);
	await timeOut(client);
	await client.end();
});

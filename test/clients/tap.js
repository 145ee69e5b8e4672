// tap.js: assertions as lines of TAP, for the clients in JavaScript.

'use strict';

const DEADLINE_MS = 20000;

let count = 0;
let failed = 0;

function ok(condition, sentence, details) {
	count += 1;
	console.log(`${condition ? 'ok' : 'not ok'} ${count} - ${sentence}`);
	if (!condition) {
		failed += 1;
		console.log(`# ${details ?? ''}`);
	}
}

function is(got, expected, sentence) {
	ok(got === expected, sentence, `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

function begins(got, expected, sentence) {
	ok(String(got).startsWith(expected), sentence, `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)} ...`);
}

// Waits until a condition, which may be asynchronous, holds.
async function until(what, condition, deadlineMs = DEADLINE_MS) {
	const deadline = Date.now() + deadlineMs;

	while (!(await condition())) {
		if (Date.now() > deadline)
			throw new Error(`timed out: ${what}`);
		await new Promise((resume) => setTimeout(resume, 10));
	}
}

// The error by which a promise is rejected.
async function errorOf(promise) {
	try {
		await promise;
	} catch (error) {
		return error;
	}
	throw new Error('no error came');
}

// The plan comes last: without it, the script did not come to its end.
async function run(main) {
	try {
		await main();
		console.log(`1..${count}`);
		process.exit(failed ? 1 : 0);
	} catch (error) {
		console.error(error);
		process.exit(1);
	}
}

module.exports = { ok, is, begins, until, errorOf, run };

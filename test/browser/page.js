// page.js: what a person does with the page of examples/web, and what comes of it.
//
// The person has a phone: the log of the simulator.  Beside it, the test knows from the queue
// when a message is settled, for nobody types as fast as a script.

'use strict';

const { randomUUID } = require('node:crypto');
const { readFileSync, writeFileSync } = require('node:fs');
const { Pool } = require('pg');
const { Browser, SIZE } = require('./chromium');
const { ok, is, begins, until, run } = require('../clients/tap');

const { ORIGIN, PROXIED_ORIGIN, SCREENSHOT, SIMULATOR_LOG } = process.env;
const SHOP = { origin: 'https://shop.example', cookie: '__Host-session' };
const ROOT = `${__dirname}/../..`;
const MAX_SCREENSHOT = 60 * 1024;

const NUMBER = '+62 812-3456-7890';
const STRANGER = '+62 812-3456-7000';
const GUESSER = '+62 812-3456-7111';
const PROBERS = ['+62 812-3456-7444', '+62 812-3456-7555'];
const UNSETTLED = 'SELECT FROM pnvs.verification_queue WHERE settled_at IS NULL';
const MAX_TRIES = 5;
const RESEND_MS = 60000; // 30 s, and what a busy machine takes

const database = new Pool();

// --- the phone

function messages(number) {
	const lines = readFileSync(SIMULATOR_LOG, 'utf8').split('\n').slice(0, -1);

	return lines.map((line) => JSON.parse(line)).filter(({ event, to }) => event === 'sent' && to === number.replace(/\D/g, ''));
}

// The code of the newest message, which is the count-th.
async function codeOf(number, count) {
	await until('a message', () => messages(number).length >= count);
	await until('its row', async () => (await database.query(UNSETTLED)).rowCount === 0);
	return messages(number).at(-1).code;
}

const wrong = (code) => code.slice(0, -1) + (Number(code.slice(-1)) + 1) % 10;

// --- the page

async function open(browser) {
	const page = await browser.newPage();

	await page.visit(ORIGIN);
	await until('the page', () => page.isShown('#phone'));
	return page;
}

async function says(page, message, sentence) {
	const said = () => page.text('#message');

	await until(message, async () => (await said()) === message).catch(() => {});
	is(await said(), message, sentence);
}

async function enterNumber(page, button, number) {
	await page.type('#phone', number);
	await page.click(`button[value=${button}]`);
	await until('the step of the code', () => page.isShown('#code'));
}

async function enterCode(page, code) {
	await page.type('#code', code);
	await page.click('#code-step button.main');
}

// A request of the page's own, as a script in it can make it: its status, its header and its body.
function post(page, path, body) {
	return page.evaluate(`fetch('/api/${path}', { method: 'POST', headers: { 'Content-Type': 'application/json' },
		body: ${JSON.stringify(JSON.stringify(body))} }).then(async (response) => ({ status: response.status,
			retryAfter: response.headers.get('Retry-After'), body: await response.json() }))`);
}

// --- the walk

async function seeForm(page) {
	is(await page.evaluate('document.querySelector("label[for=phone]").innerText'), 'Phone number', 'the number has a label');
	is(await page.evaluate('`${phone.type} ${phone.inputMode} ${phone.autocomplete}`'), 'tel tel tel', 'a phone offers its own number');
	is(await page.evaluate('`${code.inputMode} ${code.autocomplete}`'), 'numeric one-time-code', 'a phone offers the code');
	is(await page.evaluate('message.getAttribute("aria-live")'), 'polite', 'a screen reader hears what the page says');
	is(await page.evaluate('document.activeElement.id'), 'phone', 'the person can type at once');
}

async function typeWrongNumber(page) {
	await page.type('#phone', '12');
	await page.click('button[value=sign-up]');
	await says(page, 'This is not a phone number that we can use. Please write it with its country code.',
		'a number that is too short is told in words');
	is((await post(page, 'begin', { purpose: 'sign-up', phone: '12' })).status, 422, 'a number that is too short is HTTP 422');
	is((await post(page, 'begin', { purpose: 'sign-up', phone: '\0' })).status, 422, 'and so is what no text of PostgreSQL can have');
	ok(!await page.isShown('#code'), 'the person stays where the number is typed');
}

async function signUp(page) {
	await page.type('#phone', NUMBER);
	await page.click('button[value=sign-up]', 2);
	await says(page, `We have sent a code to ${NUMBER}. It can take a minute.`, 'the person is told that a code is coming');

	const code = await codeOf(NUMBER, 1);

	is(await page.text('#number'), NUMBER, 'the person sees which number it was');
	is(await page.evaluate('document.activeElement.id'), 'code', 'the person can type the code at once');
	is(await page.evaluate('location.href'), `${ORIGIN}/`, 'no ID is in the URL');
	is(await page.evaluate('document.cookie'), '', 'no script can read a cookie');
	for (const name of ['session', 'verification']) {
		const { httpOnly, sameSite } = await page.cookie(name);

		is(`${httpOnly} ${sameSite}`, 'true Strict', `the cookie "${name}" is HttpOnly and SameSite=Strict`);
	}

	const again = JSON.stringify({ purpose: 'sign-up', phone: NUMBER });
	const both = await page.evaluate(`Promise.all([1, 2].map(() => fetch('/api/begin', { method: 'POST',
		headers: { 'Content-Type': 'application/json' }, body: '${again}' }).then((response) => response.status)))`);

	is(both.join(), '200,200', 'asking again, twice at a time, is no mistake');
	is(messages(NUMBER).length, 1, 'a double click sends one message');
	return code;
}

async function seeCountdown(page) {
	const time = async () => Number((await page.text('#timer')).match(/ in 0:(\d\d)[.]/)?.[1]);
	const first = await time();

	begins(await page.text('#timer'), 'You can ask for another code in 0:', 'a countdown says when another code can be had');
	ok((await page.text('#timer')).endsWith('A code you already have still works.'), 'and that the code is still good');
	ok(first > 0 && first <= 30, 'it begins at 30 seconds at the most', first);
	await until('the countdown', async () => await time() < first);
	for (const button of ['#again', '#call']) {
		ok(!await page.isEnabled(button), `until then the button ${button} is disabled`);
		await page.click(button);
	}

	const early = await post(page, 'resend', {});

	is(early.status, 429, 'asking for another code too early is HTTP 429');
	ok(Number(early.retryAfter) >= 1 && Number(early.retryAfter) <= 30, 'with Retry-After', early.retryAfter);
	is(early.body.refused, 'too_many', 'and the reason');
	is(early.body.id, undefined, 'and without the ID');
	is(messages(NUMBER).length, 1, 'and sends nothing');
}

async function typeWrongCode(page, code) {
	await enterCode(page, 'a/b');
	await says(page, `That code is not right. You have ${MAX_TRIES} tries left.`, 'what cannot be a code takes no try');
	await enterCode(page, wrong(code));
	await says(page, `That code is not right. You have ${MAX_TRIES - 1} tries left.`, 'a wrong code is told, and how many tries are left');

	const picture = await page.screenshot();

	is(`${picture.readUInt32BE(16)}x${picture.readUInt32BE(20)}`, `${SIZE.width}x${SIZE.height}`, 'the screenshot has its size');
	ok(picture.length < MAX_SCREENSHOT, 'the screenshot is small', picture.length);
	writeFileSync(SCREENSHOT, picture);
}

async function goBack(page) {
	// A code is still being checked.
	await page.evaluate('posting.add("confirm")');
	await page.back();
	await until('the step of the number', () => page.isShown('#phone'));
	is(await page.evaluate('phone.value'), NUMBER, '"Back" leads to the number');
	await page.click('button[value=sign-up]');
	await until('the step of the code', () => page.isShown('#code'));
	is(messages(NUMBER).length, 1, 'the same number again sends nothing, and need not wait for the check of a code');
	await page.reload();
	await until('the page', () => page.isShown('#code'));
	is(await page.text('#number'), NUMBER, 'after a reload the person is where the code is typed');
	await page.click('#change');
	await until('the step of the number', () => page.isShown('#phone'));
	is(await page.evaluate('phone.value'), NUMBER, '"Change number" leads to the number');
	await page.click('button[value=sign-up]');
	await until('the step of the code', () => page.isShown('#code'));
	is(messages(NUMBER).length, 1, 'and unchanged it sends nothing');

	// A browser that is slow to go back.
	await page.evaluate(`history.back = () => setTimeout(() => History.prototype.back.call(history), 500);
		addEventListener('popstate', () => { document.title = 'back' })`);
	await page.click('#change');
	await page.click('button[value=sign-up]');
	await until('the way back', async () => await page.evaluate('document.title') === 'back');
	await until('the step of the code', () => page.isShown('#code'));
	is(await page.evaluate('history.state'), 'code', 'who is quicker than the browser stays where the code is typed');
	await page.reload();
	await until('the page', () => page.isShown('#code'));
}

async function askForCall(page) {
	await until('the end of the countdown', () => page.isEnabled('#call'), RESEND_MS);
	await says(page, 'If no code has arrived, you can ask for a new code now.', 'when the time is up, the page says so');
	is(messages(NUMBER).length, 1, 'and by itself sends nothing');
	await page.click('#call');
	await says(page, `We are calling ${NUMBER} and will read out a code.`, 'the person is told of the call');

	const code = await codeOf(NUMBER, 2);

	is(messages(NUMBER).map(({ channel }) => channel).join(), 'SMS,VOICE', 'the second code comes by a call');
	ok(!await page.isEnabled('#call'), 'the next one has to wait again');
	return code;
}

async function finishSignUp(page, code) {
	const before = (await page.cookie('session')).value;

	is((await post(page, 'confirm', { code })).status, 422, 'the right code without a number makes no member, and no error that shows the ID');
	await enterCode(page, code);
	await until('the end', () => page.isShown('#member'));
	is(await page.text('#member'), '+6281234567890', 'the right code signs up');
	isnt((await page.cookie('session')).value, before, 'who is signed in has another session than before');
	await page.reload();
	await until('the page', () => page.isShown('#member'));
	is(await page.text('#member'), '+6281234567890', 'after a reload the person is still signed in');
	await page.click('#leave');
	await until('the step of the number', () => page.isShown('#phone'));
	await page.reload();
	await until('the page', () => page.isShown('#phone'));
	is((await database.query('SELECT FROM session')).rowCount, 0, 'who has logged out has no session any more');
}

function isnt(got, unwanted, sentence) {
	ok(got !== unwanted, sentence, `got ${JSON.stringify(got)}`);
}

// What can be seen of a log-in until its code is right, with the number blanked.
async function logIn(page, number) {
	const seen = [];
	const see = async () => seen.push((await page.text('#message')).replaceAll(number, '...'));

	await enterNumber(page, 'log-in', number);
	await until('a message', async () => await page.text('#message') !== '');
	await see();
	ok(!await page.isEnabled('#again'), `${number}: the countdown runs`);
	await enterCode(page, '000000');
	await until('an answer', async () => (await page.text('#message')).startsWith('That code'));
	await see();

	const { status, body } = await post(page, 'begin', { purpose: 'log-in', phone: number });

	delete body.resend_in;
	seen.push(status, JSON.stringify(body), JSON.stringify(Object.keys((await page.evaluate(
		'fetch("/api/state").then((response) => response.json())')))));
	return seen;
}

async function meetStranger(browser, member) {
	const stranger = await open(browser);
	const ofStranger = await logIn(stranger, STRANGER);
	const ofMember = await logIn(member, NUMBER);

	is(ofMember[0], 'If ... has an account, we have sent a code to it. It can take a minute.', 'a log-in says "if"');
	is(ofStranger.join(), ofMember.join(), 'the log-in of a stranger looks like that of a member');

	const code = await codeOf(NUMBER, 3);

	await member.evaluate(`sessionStorage.setItem('chosen', '${JSON.stringify({ purpose: 'log-in', phone: STRANGER })}')`);
	await member.reload();
	await until('the page', () => member.isShown('#code'));
	await enterCode(member, code);
	await until('the end', () => member.isShown('#member'));
	is(await member.text('#member'), '+6281234567890',
		'the right code logs the member in, whichever number the browser says');
	is(messages(STRANGER).length, 0, 'no message goes to a stranger');
}

async function signUpTwice(browser) {
	const page = await open(browser);

	await enterNumber(page, 'sign-up', NUMBER);
	await enterCode(page, await codeOf(NUMBER, 4));
	await says(page, 'This number has an account already. Please log in.', 'a member who signs up again is told to log in');
	await page.click('button[value=sign-up]');
	await until('a refusal', async () => (await page.text('#message')).startsWith('We cannot send a code'));
	begins(await page.text('#timer'), 'You can ask for a code in ', 'who has had too many codes is told when there will be another');
	is((await post(page, 'begin', { purpose: 'sign-up', phone: NUMBER })).status, 429, 'too many codes are HTTP 429');
	is(messages(NUMBER).length, 4, 'and no message goes out');
}

// What the owner of a verified number sees who asks for another number.
async function probe(browser, own, other) {
	const page = await open(browser);

	await enterNumber(page, 'sign-up', own);

	const code = await codeOf(own, 1);
	const seen = [];

	for (const phone of [other, other, own])
		seen.push(await post(page, 'confirm', { purpose: 'sign-up', phone, code }));
	return JSON.stringify(seen);
}

async function probeForMembers(browser) {
	is(await probe(browser, PROBERS[0], NUMBER), await probe(browser, PROBERS[1], STRANGER),
		'a verified number tells nobody who else has an account');
}

async function guess(browser) {
	const page = await open(browser);

	await enterNumber(page, 'sign-up', GUESSER);

	const code = await codeOf(GUESSER, 1);
	let guessed = code;

	for (let left = MAX_TRIES - 1; left > 0; left--) {
		guessed = wrong(guessed);
		await enterCode(page, guessed);
		await says(page, `That code is not right. You have ${left === 1 ? '1 try' : `${left} tries`} left.`, `wrong codes: ${left} left`);
	}
	await enterCode(page, wrong(guessed));
	await says(page, 'Too many codes were wrong. Please ask for a new code.', 'the last wrong code ends the verification');
	ok(await page.isShown('#phone'), 'the person can begin again');
	is((await post(page, 'confirm', { purpose: 'sign-up', phone: GUESSER, code })).body.state, 'max_tries', 'the right code comes too late');
}

async function configure(statement) {
	await database.query(statement);
	await database.query('SELECT pg_reload_conf()');
}

async function meetRefusals(browser) {
	const page = await open(browser);
	const foreign = { purpose: 'sign-up', phone: '+65 9123 4567' };
	const isOn = async () => (await database.query("SELECT current_setting('pnvs.sending') AS value")).rows[0].value === 'on';

	await page.type('#phone', foreign.phone);
	await page.click('button[value=sign-up]');
	await says(page, 'Sorry, we cannot send codes to this number. Please use another number.', 'a country that is not sent to is told');
	is((await post(page, 'begin', foreign)).status, 422, 'a country that is not sent to is HTTP 422');

	await configure("ALTER SYSTEM SET pnvs.sending = 'off'");
	await until('the setting', async () => !await isOn());
	await page.type('#phone', '+62 812-3456-7333');
	await page.click('button[value=sign-up]');
	await says(page, 'Sorry, this does not work right now. Please try again in a few minutes.', 'that nothing can be sent now is told');
	is((await post(page, 'begin', { purpose: 'sign-up', phone: '+62 812-3456-7333' })).status, 503, 'that nothing can be sent now is HTTP 503');
	await configure('ALTER SYSTEM RESET pnvs.sending');
	await until('the setting', isOn);
}

async function loseVerification(browser) {
	const page = await open(browser);

	for (const [id, sentence] of [[randomUUID(), 'an ID that is not known'], ['x', 'an ID that is none']]) {
		await enterNumber(page, 'log-in', STRANGER);
		await page.setCookie('verification', id);
		await enterCode(page, '123456');
		await says(page, 'That code can no longer be used. Please ask for a new code.', `${sentence}: the person is told to begin again`);
		ok(await page.isShown('#phone'), `${sentence}: the person can begin again`);
	}
}

// The right code for one's own number, and another number in the request.
async function tamper(browser) {
	const page = await open(browser);
	const own = '+62 812-3456-7222';

	await enterNumber(page, 'sign-up', own);

	const code = await codeOf(own, 1);
	const other = await post(page, 'confirm', { purpose: 'sign-up', phone: STRANGER, code });
	const asLogIn = await post(page, 'confirm', { purpose: 'log-in', phone: own, code });

	is(other.body.member, undefined, 'another number than the verified one is not signed up');
	is(other.body.state, 'canceled', 'and the page says that the code is of no use');
	is(asLogIn.body.member, undefined, 'a code for signing up does not log in');
	is((await fetch(`${ORIGIN}/api/begin`, { method: 'POST' })).status, 403, 'a request without a cookie is refused');
	for (const origin of [undefined, 'https://elsewhere.example', 'null'])
		is((await fetch(`${ORIGIN}/api/begin`, { method: 'POST', headers: { Cookie: 'session=x', ...(origin && { Origin: origin }) } })).status,
			403, `a request of the origin ${origin} is refused`);
}

// Asks for a code for the n-th number, from behind a proxy that says an address.
async function askFrom(url, address, n, { origin = url, cookie = 'session' } = {}) {
	const response = await fetch(`${url}/api/begin`, {
		method: 'POST',
		headers: { Cookie: `${cookie}=${String(n).padStart(43, 'x')}`, Origin: origin, 'X-Forwarded-For': address, 'Content-Type': 'application/json' },
		body: JSON.stringify({ purpose: 'sign-up', phone: `+62812000${1000 + n}` }),
	});

	return response.status;
}

async function exhaustAddress() {
	let n = 0;

	await until('the limit of an address', async () => await askFrom(ORIGIN, '198.51.100.7', n++) === 429);
	is(await askFrom(ORIGIN, '198.51.100.8', n++), 429, 'the header of a proxy is not believed');
	is(await askFrom(PROXIED_ORIGIN, '198.51.100.8', n++, SHOP), 200, 'unless the server is told to trust the proxy');
}

// The proxied server is one of https.
async function plantSession() {
	const cookies = (await fetch(`${PROXIED_ORIGIN}/`)).headers.getSetCookie().map((cookie) => cookie.replace(/=[\w-]{43};/, '=...;'));

	is(cookies.join(), '__Host-session=...; Path=/; HttpOnly; Secure; SameSite=Strict', 'with https, no other host of the domain can set the cookie');
	is(await askFrom(PROXIED_ORIGIN, '198.51.100.9', 900, { ...SHOP, cookie: 'session' }), 403, 'and another cookie is no session');
}

async function compareTexts(page) {
	const documented = readFileSync(`${ROOT}/doc/messages.md`, 'utf8').matchAll(/^\|.*\| `(\w+)` \| (.*?) \|$/gm);
	const inPage = await page.evaluate('JSON.stringify(Object.entries(TEXTS))');

	is(inPage, JSON.stringify(Array.from(documented, ([, name, text]) => [name, text])), 'doc/messages.md has every text of the page');
}

run(async () => {
	const browser = new Browser('chromium-headless-shell');
	const page = await open(browser);

	await seeForm(page);
	await compareTexts(page);
	await typeWrongNumber(page);

	const code = await signUp(page);

	await seeCountdown(page);
	await typeWrongCode(page, code);
	await goBack(page);
	await finishSignUp(page, await askForCall(page));

	await meetStranger(browser, page);
	await signUpTwice(browser);
	await probeForMembers(browser);
	await guess(browser);
	await meetRefusals(browser);
	await loseVerification(browser);
	await tamper(browser);
	await exhaustAddress();
	await plantSession();
	is(browser.complaints.join('\n'), '', 'the browser has nothing to complain of');
	await browser.close();
});

// chromium.js: Chromium without a window, driven by the DevTools protocol over a pipe.

'use strict';

const { spawn } = require('node:child_process');
const { mkdtempSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

const SIZE = { width: 480, height: 450 };

// Of loopback alone: the browser has no name to look up, and nobody to tell of a crash.  It
// sees nothing but this project's page, so it needs no sandbox, which a container may forbid.
const ARGUMENTS = ['--headless', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
	'--disable-background-networking', '--disable-breakpad', '--hide-scrollbars', '--no-first-run',
	'--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'];

class Browser {
	// Messages go out by descriptor 3 and come in by 4, each ended by a NUL.
	constructor(program) {
		this.process = spawn(program, [...ARGUMENTS, `--user-data-dir=${mkdtempSync(join(tmpdir(), 'chromium-'))}`, 'about:blank'],
			{ stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
		this.waiting = new Map();
		this.sessions = new Map();
		this.number = 0;
		this.complaints = [];

		let text = '';

		this.process.stdio[4].setEncoding('utf8').on('data', (data) => {
			const messages = (text + data).split('\0');

			text = messages.pop();
			messages.forEach((message) => this.hear(JSON.parse(message)));
		});
		this.process.on('exit', (code) => {
			for (const { reject } of this.waiting.values())
				reject(new Error(`Chromium ended with status ${code}`));
		});
	}

	hear({ id, result, error, method, params, sessionId }) {
		if (id === undefined) {
			this.sessions.get(sessionId)?.hear(method, params);
			return;
		}

		const { resolve, reject } = this.waiting.get(id);

		this.waiting.delete(id);
		if (error)
			reject(new Error(error.message));
		else
			resolve(result);
	}

	call(method, params = {}, sessionId = undefined) {
		const id = ++this.number;

		return new Promise((resolve, reject) => {
			this.waiting.set(id, { resolve, reject });
			this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
		});
	}

	// Another person: no cookie, no storage, no history.
	async newPage() {
		const { browserContextId } = await this.call('Target.createBrowserContext');
		const { targetId } = await this.call('Target.createTarget', { url: 'about:blank', browserContextId });
		const { sessionId } = await this.call('Target.attachToTarget', { targetId, flatten: true });
		const page = new Page(this, sessionId);

		this.sessions.set(sessionId, page);
		for (const domain of ['Page', 'Runtime', 'Log', 'Network'])
			await page.call(`${domain}.enable`);
		await page.call('Emulation.setDeviceMetricsOverride', { ...SIZE, deviceScaleFactor: 1, mobile: false });
		return page;
	}

	async close() {
		await this.call('Browser.close');
	}
}

class Page {
	constructor(browser, sessionId) {
		this.browser = browser;
		this.sessionId = sessionId;
	}

	call(method, params) {
		return this.browser.call(method, params, this.sessionId);
	}

	// What a developer would see in red, but for the answers with another status than 200.
	hear(method, params) {
		if (method === 'Runtime.exceptionThrown')
			this.browser.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
		if (method === 'Log.entryAdded' && params.entry.level === 'error' && params.entry.source !== 'network')
			this.browser.complaints.push(params.entry.text);
	}

	// The value of an expression, or what its promise becomes.
	async evaluate(expression) {
		const { result, exceptionDetails } = await this.call('Runtime.evaluate',
			{ expression, awaitPromise: true, returnByValue: true });

		if (exceptionDetails)
			throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
		return result.value;
	}

	async visit(url) {
		await this.call('Page.navigate', { url });
	}

	async reload() {
		await this.call('Page.reload');
	}

	// The button "Back".
	async back() {
		const { currentIndex, entries } = await this.call('Page.getNavigationHistory');

		await this.call('Page.navigateToHistoryEntry', { entryId: entries[currentIndex - 1].id });
	}

	text(selector) {
		return this.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
	}

	isShown(selector) {
		return this.evaluate(`Boolean(document.querySelector(${JSON.stringify(selector)})?.getClientRects().length)`);
	}

	isEnabled(selector) {
		return this.evaluate(`document.querySelector(${JSON.stringify(selector)}).matches(':enabled')`);
	}

	// By the mouse, where the element is: so a click on what is disabled does what it would for a person.
	async click(selector, clicks = 1) {
		const place = await this.evaluate(`(() => {
			const box = document.querySelector(${JSON.stringify(selector)}).getBoundingClientRect();

			return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
		})()`);

		for (let clickCount = 1; clickCount <= clicks; clickCount++) {
			for (const type of ['mousePressed', 'mouseReleased'])
				await this.call('Input.dispatchMouseEvent', { ...place, type, button: 'left', clickCount });
		}
	}

	// In place of what stands there.
	async type(selector, text) {
		await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).select()`);
		await this.call('Input.insertText', { text });
	}

	async cookie(name) {
		const { cookies } = await this.call('Network.getCookies');

		return cookies.find((cookie) => cookie.name === name);
	}

	async setCookie(name, value) {
		await this.call('Network.setCookie', { ...await this.cookie(name), value });
	}

	async screenshot() {
		return Buffer.from((await this.call('Page.captureScreenshot', { format: 'png' })).data, 'base64');
	}
}

module.exports = { Browser, SIZE };

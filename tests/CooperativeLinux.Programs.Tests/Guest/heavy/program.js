// Loops that get compiled, deoptimised and compiled again, regular expressions, JSON, timers, workers, WebAssembly.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto'), zlib = require('zlib'), { execFileSync } = require('child_process');

function primes(n) { const s = new Uint8Array(n + 1); let c = 0; for (let i = 2; i <= n; i++) { if (!s[i]) { c++; for (let j = i * 2; j <= n; j += i) s[j] = 1; } } return c; }
if (!isMainThread) { parentPort.postMessage([workerData, primes(workerData)]); return; }

function add(a, b) { return a + b; }
let x = 0; for (let i = 0; i < 3e6; i++) x = add(x, i & 7); console.log('ints', x);
let y = 0; for (let i = 0; i < 3e6; i++) y = add(y, i * 0.1); console.log('doubles', y);
let z = ''; for (let i = 0; i < 3e4; i++) z = add(z, i % 10); console.log('strings', crypto.createHash('sha256').update(z).digest('hex'));
console.log('primes', primes(1000000));
class P { constructor(x, y) { this.x = x; this.y = y; } len() { return Math.hypot(this.x, this.y); } }
class Q extends P { len() { return super.len() * 2; } }
let l = 0; for (let i = 0; i < 500000; i++) l += (i % 3 ? new P(i, 1) : new Q(1, i)).len(); console.log('objects', l);
const map = new Map(); for (let i = 0; i < 200000; i++) map.set('k' + (i * 7919) % 65521, i); console.log('map', map.size, [...map.values()].reduce((a, b) => a + b));
console.log('sort', Array.from({ length: 50000 }, (_, i) => (i * 7919) % 50021).sort((a, b) => a - b).slice(1000, 1005));
const text = Array.from({ length: 5000 }, (_, i) => `user${i}@host${i % 17}.example ${i * i}`).join('\n');
console.log('regex', text.match(/(\w+)@(host1\d)\.example (\d*6)$/gm).length, text.replace(/(?<=host)\d+/g, d => d * 2).length, /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaab'));
const o = { a: [1, 2.5, 'é', null, { b: true }], c: Array.from({ length: 3000 }, (_, i) => ({ i, s: 'x'.repeat(i % 10) })) };
let j = JSON.stringify(o); for (let i = 0; i < 50; i++) j = JSON.stringify(JSON.parse(j)); console.log('json', j.length, crypto.createHash('md5').update(j).digest('hex'));
console.log('big', (2n ** 521n - 1n) % 1000000007n, 3n ** 200n);
console.log('math', Math.sin(1e6), Math.exp(1.5), Math.pow(1.1, 33.3), 0.1 + 0.2, 1e21, 5e-324, (25).toString(36), (0.1).toString(2), 2 ** 31 | 0, -7 % 3, 1 / -0);
try { (function f() { f(); })(); } catch (e) { console.log(e.name); }
try { null.x; } catch (e) { console.log(e.message); }
const gz = zlib.gzipSync(Buffer.from(text)); console.log('zlib', zlib.gunzipSync(gz).toString() === text, zlib.deflateSync(Buffer.from(text)).length);
const wasm = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11])));
let w = 0; for (let i = 0; i < 1e6; i++) w = wasm.exports.add(w, i); console.log('wasm', w);
for (let i = 0; i < 300; i++) { const f = new Function('a', `let s = 0; for (let k = 0; k < 100; k++) s += a * ${i} + k; return s;`); l += f(i); } console.log('functions', l);
console.log('child', execFileSync('tr', ['a-z', 'A-Z'], { input: 'hello' }).toString());
function* gen(n) { for (let i = 0; i < n; i++) yield i * i; }
(async () => {
    let s = 0; for (const v of gen(100000)) s += v; console.log('generator', s);
    for (let i = 0; i < 10000; i++) s += await i; console.log('await', s);
    const order = []; await Promise.all([30, 10, 20].map(t => new Promise(r => setTimeout(() => { order.push(t); r(); }, t * 10)))); console.log('timers', order);
    const all = await Promise.all([100000, 200000, 300000].map(n => new Promise((r, e) => { const k = new Worker(__filename, { workerData: n }); k.on('message', r); k.on('error', e); }))); console.log('workers', all);
    const a = new SharedArrayBuffer(8); Atomics.add(new Int32Array(a), 0, 5); console.log('atomics', Atomics.load(new Int32Array(a), 0));
    console.log('scrypt', await new Promise(r => crypto.scrypt('p', 's', 32, (e, k) => r(k.toString('hex')))));
})();

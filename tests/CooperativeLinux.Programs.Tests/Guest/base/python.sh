# What the interpreter's own tests rest on, and the shorter ones of its test modules.
python3 - <<'P'
import hashlib, zlib, lzma, bz2, struct, threading, subprocess, signal, mmap, os, re, json, math, decimal, fractions, random, ctypes, time, queue, multiprocessing
print(hashlib.sha3_256(b'x' * 100000).hexdigest(), zlib.crc32(bytes(range(256)) * 1000), zlib.adler32(b'abc' * 9999))
data = bytes(random.Random(1).choices(range(64), k=200000))
for m in (zlib, bz2, lzma):
    c = m.compress(data); assert m.decompress(c) == data; print(m.__name__, len(c), hashlib.md5(c).hexdigest() if m is not lzma else '')
print(math.factorial(300) % (2**127 - 1), pow(3, 10**6, 10**30 + 57), 2**4000 // 3**2000, [repr(f(0.7)) for f in (math.sin, math.exp, math.gamma, math.erf, math.tanh, math.log1p)])
print(decimal.Decimal(2).sqrt(decimal.Context(prec=60)), sum(fractions.Fraction(1, n) for n in range(1, 60)), random.Random(42).gauss(0, 1), sum(random.Random(7).random() for _ in range(100000)))
q = queue.Queue(); total = []
def work():
    while (n := q.get()) is not None: total.append(sum(range(n)))
ts = [threading.Thread(target=work) for _ in range(8)]; [t.start() for t in ts]; [q.put(n) for n in range(2000)]; [q.put(None) for _ in ts]; [t.join() for t in ts]; print(len(total), sum(total))
def handler(s, f): raise TimeoutError(s)
signal.signal(signal.SIGALRM, handler); signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    spins = 0
    while True: spins += 1
except TimeoutError as e: print('alarm', e)
print(subprocess.run(['sh', '-c', 'tr a-z A-Z; exit 4'], input=b'hello', capture_output=True))
with mmap.mmap(-1, 1 << 20) as m: m[5000:5005] = b'abcde'; print(m.find(b'cd'), m[4998:5008])
print(subprocess.run(['python3', '-c', 'import ctypes; ctypes.string_at(0)']).returncode)
with multiprocessing.Pool(4) as p: print(p.map(math.isqrt, range(10**12, 10**12 + 50, 10)))
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
try: deep(10**6)
except RecursionError: print('recursion')
print(json.loads(json.dumps({'a': [1.5, None, True, '\u20ac', 1e300]})), re.findall(r'(?<=\b)(\w)(\w*)\1\b', 'abba level stats dad'), ctypes.CDLL(None).strlen(b'twelve chars'))
class Bytes(bytearray): pass
a, b = Bytes(b'abcd'), Bytes(b'efgh'); print(a == a, a != b, a < b, a <= b, b >= a, b > a)
c = ctypes.CDLL('libm.so.6'); c.pow.restype = ctypes.c_double; c.pow.argtypes = [ctypes.c_double] * 2; print(c.pow(1.1, 33.3), struct.pack('<dfq', 1.1, 2.2, -3).hex())
P

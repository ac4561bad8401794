# Transactions, indices, triggers, recursive queries, floating point and a check of the whole file.
sqlite3 test.db > /dev/null <<'S'
PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;
CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, v REAL, b BLOB); CREATE INDEX tk ON t (k); CREATE TABLE log (id INTEGER, what TEXT);
CREATE TRIGGER tg AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id, old.k || '>' || new.k); END;
S
i=0; while [ $i -lt 300 ]; do echo "BEGIN; INSERT INTO t (k, v, b) WITH RECURSIVE n(x) AS (SELECT $i * 20 UNION ALL SELECT x + 1 FROM n WHERE x < $i * 20 + 19) SELECT printf('%04x', x * 7919 % 65521), x / 7.0, zeroblob(x % 50) FROM n;"
case $i in *7) echo "ROLLBACK;" ;; *) echo "COMMIT;" ;; esac; i=$((i + 1)); done | sqlite3 test.db
sqlite3 test.db <<'S'
PRAGMA integrity_check;
SELECT count(*), sum(length(b)), printf('%.10f', sum(v)), min(k), max(k) FROM t;
UPDATE t SET k = k || 'x' WHERE id % 10 = 3; SELECT count(*) FROM log; SELECT * FROM log ORDER BY id DESC LIMIT 3;
DELETE FROM t WHERE k LIKE '00%'; SELECT count(*) FROM t; VACUUM; PRAGMA integrity_check;
SELECT a.k, b.id FROM t a JOIN t b ON a.id = b.id + 1 WHERE a.k > 'ff' ORDER BY 1, 2 LIMIT 5;
SELECT substr(k, 1, 1) AS g, count(*), printf('%.6f', avg(v)), rank() OVER (ORDER BY count(*) DESC, substr(k, 1, 1)) FROM t GROUP BY g ORDER BY g;
SELECT json_extract('{"a":[1,2,{"b":3.5}]}', '$.a[2].b'), 1e308 * 10, 0.1 + 0.2, 7 / 2, -7 % 3, round(2.5), hex(x'00ff');
WITH RECURSIVE q(n, s) AS (VALUES(1, '1') UNION ALL SELECT n + 1, s || ',' || (n + 1) * (n + 1) FROM q WHERE n < 25) SELECT s FROM q ORDER BY n DESC LIMIT 1;
S
sqlite3 test.db .dump | sha256sum
sqlite3 test.db 'PRAGMA journal_mode = WAL; UPDATE t SET v = v + 1; SELECT printf("%.6f", sum(v)) FROM t; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check'

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { EdgeCounter } from '../../flows/edges.ts';
import { pairsOf } from '../../flows/pairs.ts';
import { edgeKey } from '../../model/map-merge.ts';
import type { ObservedPair } from '../../model/observed.ts';
import { flowView, TestHistory, TestWorld } from '../testing.ts';
import { timeNs } from '../time.ts';

const since = '2026-11-20T00:00:00Z';
const until = '2026-11-21T12:00:00Z';
const world = new TestWorld({ namespaces: 4, workloads: 12, pods: 40, outside: 60 });
const flows = [...world.flows(6000, timeNs(since), timeNs(until))];
const history = await TestHistory.start();
for (const day of ['2026-11-20', '2026-11-21']) await history.record(flows.filter(({ time }) => time.startsWith(day)));
await history.store.tidy(new AbortController().signal);
after(() => history[Symbol.asyncDispose]());

test('pairs are those that are counted flow by flow', async () => {
  const pairs = (await history.ask({ kind: 'pairs' })).flatMap(answer => (answer.kind === 'pairs' ? answer.pairs : []));
  assert.ok(pairs.length > 100);
  assert.deepEqual(comparable(pairs), comparable(pairsOf(flows)));
  const ofNamespace = (await history.ask({ kind: 'pairs', namespace: 'ns-2', since: flows[1000]!.time, verdicts: ['FORWARDED'] })).flatMap(answer => (answer.kind === 'pairs' ? answer.pairs : []));
  assert.deepEqual(comparable(ofNamespace), comparable(pairsOf(flows.slice(1000).filter(({ source, destination, verdict }) => verdict === 'FORWARDED' && (source.namespace === 'ns-2' || destination.namespace === 'ns-2')))));
});

/** Any pod of several may stand for them. */
function comparable(pairs: readonly ObservedPair[]): string[] {
  return pairs.map(pair => JSON.stringify(sorted({ ...pair, source: { ...pair.source, podName: undefined }, destination: { ...pair.destination, podName: undefined } }))).sort();
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, entry]) => [key, sorted(entry)]));
}

test('the map of an interval is the one that was counted as it happened', async () => {
  const counter = new EdgeCounter();
  for (const flow of flows) counter.flow(flowView(flow));
  const expected = counter.take();
  const [answer] = await history.ask({ kind: 'map', since, until });
  assert.ok(answer?.kind === 'map');
  const byKey = (edges: typeof expected.edges) => Object.fromEntries([...edges].sort((a, b) => (edgeKey(a) < edgeKey(b) ? -1 : 1)).map(edge => [edgeKey(edge), edge]));
  // An edge on which only records of the connection's other node were seen has nothing to show.
  assert.deepEqual(byKey(answer.interval.edges), byKey(expected.edges));
  assert.deepEqual(answer.interval.nodes.map(({ id }) => id).sort(), expected.nodes.map(({ node }) => node.id).sort());
});

test('a timeline counts every flow in its part, by verdict', async () => {
  const [answer] = await history.ask({ kind: 'timeline', since, until, buckets: 36 });
  assert.ok(answer?.kind === 'timeline');
  assert.equal(answer.buckets.length, 36);
  for (const [i, { since: from, verdicts }] of answer.buckets.entries()) {
    const to = answer.buckets[i + 1]?.since ?? '~';
    const expected: Record<string, number> = {};
    for (const { time, verdict } of flows) if (time >= from && time < to) expected[verdict] = (expected[verdict] ?? 0) + 1;
    assert.deepEqual(verdicts, expected);
  }
});

test('SQL over the views: columns, rows, a limit', async () => {
  const ask = async (sql: string, limit?: number) => {
    const answers = await history.ask({ kind: 'sql', sql, ...(limit !== undefined && { limit }) });
    return { rows: answers.flatMap(answer => (answer.kind === 'rows' ? answer.rows : [])), end: answers.at(-1)! };
  };
  const dropped = flows.filter(({ verdict }) => verdict === 'DROPPED').length;
  assert.deepEqual((await ask("SELECT count(*) FROM flows WHERE verdict = 'DROPPED'")).rows, [[String(dropped)]]);
  const { rows } = await ask("WITH t AS (SELECT source_workload AS w, count(*) AS n FROM flows WHERE destination_namespace = 'ns-1' GROUP BY ALL) SELECT w, n FROM t ORDER BY n DESC, w LIMIT 3");
  assert.equal(rows.length, 3);
  const limited = await ask('SELECT time FROM flows ORDER BY time', 10);
  assert.equal(limited.rows.length, 10);
  assert.ok(limited.end.kind === 'end' && limited.end.more === true);
  assert.deepEqual((await ask('SELECT count(*) FROM gaps')).rows, [['0']]);
});

test('hostile SQL reads no file, writes nothing and changes no setting', async () => {
  for (const sql of [
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM glob('/etc/*')", "SELECT * FROM \"/etc/passwd\"",
    "COPY (SELECT 1) TO '/tmp/cirri-test-out'", "COPY flows TO '/tmp/cirri-test-out'", "ATTACH '/tmp/cirri-test.duckdb' AS x", 'DROP VIEW flows', 'DELETE FROM p1.flows', 'INSERT INTO p1.gaps SELECT * FROM p1.gaps',
    "SET memory_limit = '10GB'", 'PRAGMA database_list', 'CALL pragma_version()', "LOAD 'httpfs'", "INSTALL httpfs", 'SELECT 1; SELECT 2', 'SELECT 1; DROP VIEW flows', 'CREATE TABLE t(x INTEGER)',
    "SELECT * FROM enable_logging(storage_path = '/tmp/cirri-test-log')", "SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('flows')", 'SELECT * FROM duckdb_settings()', 'SELECT * FROM force_checkpoint()',
    'SELECT * FROM p1.flows', 'SELECT * FROM p1.main.feeds', 'SELECT * FROM information_schema.tables', 'SELECT * FROM pg_catalog.pg_class', 'SELECT * FROM sqlite_master', 'DESCRIBE flows', 'EXPLAIN ANALYZE SELECT 1',
    "SELECT current_setting('temp_directory')", "SELECT getvariable('x')", "SELECT write_log('x')", "SELECT (SELECT content FROM read_text('/etc/passwd'))", "SELECT 1 WHERE EXISTS (FROM read_text('/etc/passwd'))",
    "WITH t AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM t", "SELECT * FROM flows UNION ALL SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM json_execute_serialized_sql('{}')", 'VACUUM', 'EXPORT DATABASE \'/tmp/cirri-test\'', '', ';',
  ]) {
    await assert.rejects(history.ask({ kind: 'sql', sql }), (error: Error) => /^SQL: /.test(error.message), sql);
  }
  assert.deepEqual((await history.ask({ kind: 'sql', sql: 'SELECT count(*)::INTEGER FROM flows' })).flatMap(answer => (answer.kind === 'rows' ? answer.rows : [])), [[flows.length]]);
});

test('SQL that takes too long is stopped', async () => {
  await assert.rejects(history.ask({ kind: 'sql', sql: 'SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range % 7 = b.range % 11', timeoutMs: 200 }), /no answer in 200 ms/);
});

test('a Parquet file has the flows of the window', async () => {
  const answers = await history.ask({ kind: 'export', format: 'parquet', since, whitelist: [{ verdict: ['DROPPED'] }] });
  const file = Buffer.concat(answers.flatMap(answer => (answer.kind === 'file' ? [Buffer.from(answer.data, 'base64')] : [])));
  assert.equal(file.toString('latin1', 0, 4), 'PAR1');
  assert.equal(file.toString('latin1', file.length - 4), 'PAR1');
});

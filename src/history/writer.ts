import { BIGINT, DuckDBDataChunk, INTEGER, LIST, VARCHAR, type DuckDBAppender, type DuckDBConnection } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import { addrToBigint, isAddr, parseAddr } from '../std/ip.ts';
import { batchRows, rangeOf, totalsOf, type Batch, type GapEntry } from './batch.ts';
import { literal, rowsOf, runPatiently } from './database.ts';
import { policyOf } from './decision.ts';
import type { DecisionEntry, DictionaryEntries, EndEntry, KindEntry, ServiceEntry } from './dictionary.ts';
import { widen, type Partition } from './partition.ts';
import { RunWriter } from './runs.ts';
import { createRuns, flowColumns, type RunTable } from './schema.ts';

const chunkRows = 2048;
/** Keys remembered of one dimension. What is forgotten gets a second row, which does no harm. */
const mostRemembered = 50_000;
/** Of details, which are longer, and whatever clients ask for. */
const mostDetailsRemembered = 2_000;
type IdColumn = 'kind' | 'source' | 'destination' | 'decision' | 'service';
const dimensionTables = ['label_sets', 'name_sets', 'ends', 'kinds', 'decisions', 'services', 'details'] as const;
type DimensionTable = (typeof dimensionTables)[number];

/** What the numbers of one connection's batches stand for, and the rows that this partition has for them. */
export class FeedDictionary {
  readonly labels: (readonly string[])[] = [];
  readonly names: (readonly string[])[] = [];
  readonly ends: EndEntry[] = [];
  readonly kinds: KindEntry[] = [];
  readonly decisions: DecisionEntry[] = [];
  readonly services: ServiceEntry[] = [];
  readonly sayings: string[] = [];
  rows = emptyRows();
  /** The writer whose rows `rows` are. */
  owner: unknown;

  add(entries: DictionaryEntries): void {
    if (entries.reset) {
      for (const list of [this.labels, this.names, this.ends, this.kinds, this.decisions, this.services, this.sayings]) list.length = 0;
      this.rows = emptyRows();
    }
    this.labels.push(...(entries.labels ?? []));
    this.names.push(...(entries.names ?? []));
    this.ends.push(...(entries.ends ?? []));
    this.kinds.push(...(entries.kinds ?? []));
    this.decisions.push(...(entries.decisions ?? []));
    this.services.push(...(entries.services ?? []));
    this.sayings.push(...(entries.sayings ?? []));
  }
}

function emptyRows() {
  return { labels: [] as number[], names: [] as number[], ends: [] as number[], kinds: [] as number[], decisions: [] as number[], services: [] as number[], sayings: [] as number[] };
}

/** Puts batches into one partition. What it does between `begin` and `commit` is there as a whole or not at all. */
export class PartitionWriter {
  readonly #connection: DuckDBConnection;
  readonly #alias: string;
  readonly #chunk = DuckDBDataChunk.create(flowColumns.map(({ type }) => (type === 'BIGINT' ? BIGINT : INTEGER)), chunkRows);
  readonly #appenders = new Map<string, DuckDBAppender>();
  readonly #nextId = new Map<DimensionTable, number>();
  readonly #known = new Map<DimensionTable, Map<string, number>>();
  readonly #totals = Array.from({ length: 5 }, () => new BigInt64Array(chunkRows));
  readonly #integers = new Int32Array(chunkRows);
  readonly #times = new Int32Array(2 * chunkRows);
  /** Of a batch's flows: numbers of this partition's rows; and those that are written one by one. */
  readonly #ids: Readonly<Record<IdColumn, Int32Array>> = { kind: new Int32Array(batchRows), source: new Int32Array(batchRows), destination: new Int32Array(batchRows), decision: new Int32Array(batchRows), service: new Int32Array(batchRows) };
  readonly #single = new Int32Array(batchRows);
  readonly #runs = new RunWriter();
  readonly #clientPorts = new Int32Array(batchRows);
  readonly #runTables: RunTable[];
  readonly #fullRuns: number;
  /** The last of the totals, whose low words bear latencies. */
  readonly #durations = new Int32Array(this.#totals[4]!.buffer);

  private constructor(connection: DuckDBConnection, { alias, runs }: Pick<Partition, 'alias' | 'runs'>, fullRuns: number) {
    this.#fullRuns = fullRuns;
    this.#connection = connection;
    this.#alias = alias;
    this.#runTables = runs;
  }

  static async open(connection: DuckDBConnection, partition: Pick<Partition, 'alias' | 'runs'>, fullRuns: number): Promise<PartitionWriter> {
    const writer = new PartitionWriter(connection, partition, fullRuns);
    const { alias } = partition;
    for (const table of dimensionTables) {
      const [[last] = [0]] = await rowsOf(connection, `SELECT coalesce(max(id), 0) FROM ${alias}.${table}`);
      writer.#nextId.set(table, Number(last) + 1);
      writer.#known.set(table, new Map());
    }
    // Few and in every group: these are known by heart.
    for (const table of ['kinds', 'decisions'] as const) {
      const known = writer.#known.get(table)!;
      for (const [id, json] of await rowsOf(connection, `SELECT id, json FROM ${alias}.${table}`)) known.set(String(json), Number(id));
    }
    for (const table of ['flows', writer.#runTable.name, ...dimensionTables]) writer.#appenders.set(table, await connection.createAppender(table, 'main', alias));
    return writer;
  }

  async begin(): Promise<void> {
    if (this.#runTable.flows >= this.#fullRuns) await this.#nextRuns();
    await this.#connection.run('BEGIN');
  }

  get #runTable(): RunTable {
    return this.#runTables.at(-1)!;
  }

  async #nextRuns(): Promise<void> {
    const { name: before } = this.#runTable;
    const name = `runs_${this.#runTables.length + 1}`;
    await this.#connection.run(createRuns(this.#alias, name));
    this.#appenders.get(before)!.closeSync();
    this.#appenders.delete(before);
    this.#appenders.set(name, await this.#connection.createAppender(name, 'main', this.#alias));
    this.#runTables.push({ name, flows: 0, first: undefined, last: undefined });
  }

  async commit(): Promise<void> {
    for (const appender of this.#appenders.values()) appender.flushSync();
    await runPatiently(this.#connection, 'COMMIT');
  }

  close(): void {
    for (const appender of this.#appenders.values()) {
      appender.clear();
      appender.closeSync();
    }
  }

  write(batch: Batch, dictionary: FeedDictionary): void {
    if (dictionary.owner !== this) {
      dictionary.owner = this;
      dictionary.rows = emptyRows();
    }
    this.#number(batch, dictionary);
    const details = this.#details(batch, dictionary);
    const totals = [...totalsOf(batch.totals)];
    const singles = this.#writeRuns(batch, dictionary, details);
    for (let from = 0; from < singles; from += chunkRows) this.#writeChunk(batch, this.#single.subarray(from, Math.min(singles, from + chunkRows)), details, totals);
  }

  #number({ rows, columns }: Batch, dictionary: FeedDictionary): void {
    const { kind, source, destination, decision, service } = this.#ids;
    for (let i = 0; i < rows; i++) {
      kind[i] = this.#kind(dictionary, columns.kind[i]!);
      source[i] = this.#end(dictionary, columns.source[i]!);
      destination[i] = this.#end(dictionary, columns.destination[i]!);
      decision[i] = columns.decision[i] === 0 ? 0 : this.#decision(dictionary, columns.decision[i]!);
      service[i] = columns.service[i] === 0 ? 0 : this.#service(dictionary, columns.service[i]!);
    }
  }

  /** Returns how many flows are in no run: `#single` has them. */
  #writeRuns(batch: Batch, dictionary: FeedDictionary, details: Int32Array): number {
    const { rows, columns } = batch;
    const { kind, source, destination, decision, service } = this.#ids;
    const runs = this.#runs;
    const { key } = runs;
    const own = new Set(batch.details.map(([row]) => row));
    runs.begin();
    for (let i = 0; i < rows; i++) {
      if (columns.saying[i] === 0 || (own.size > 0 && own.has(i))) {
        runs.skip(i);
        continue;
      }
      const isReply = dictionary.kinds[columns.kind[i]! - 1]!.isReply === true;
      this.#clientPorts[i] = (isReply ? columns.destinationPort : columns.sourcePort)[i]!;
      key[0] = kind[i]!;
      key[1] = source[i]!;
      key[2] = destination[i]!;
      key[3] = isReply ? 1 : 0;
      key[4] = (isReply ? columns.sourcePort : columns.destinationPort)[i]!;
      key[5] = decision[i]!;
      key[6] = service[i]!;
      key[7] = columns.tally[i]!;
      key[8] = details[i]!;
      runs.add(i);
    }
    const table = this.#runTable;
    const written = runs.write(this.#appenders.get(table.name)!, rows, batch.times, [columns.suffix, this.#clientPorts, columns.latency]);
    if (written > 0) {
      table.flows += written;
      widen(table, rangeOf(batch)!);
    }
    let singles = 0;
    for (let i = 0; i < rows; i++) if (!runs.isInRun(i)) this.#single[singles++] = i;
    return singles;
  }

  async gap(gap: GapEntry): Promise<void> {
    const { sinceNs, untilNs, count } = gap;
    await this.#connection.run(`INSERT INTO ${this.#alias}.gaps VALUES (${BigInt(sinceNs)}, ${BigInt(untilNs)}, ${count === undefined ? 'NULL' : Math.trunc(count)}, ${literal(gap.class)}, ${literal(gap.reason)})`);
  }

  async feed(session: string, sequence: number, ended: boolean): Promise<void> {
    const feeds = `${this.#alias}.feeds`;
    const [[count] = [0]] = await rowsOf(this.#connection, `SELECT count(*) FROM ${feeds} WHERE session = ${literal(session)}`);
    const now = BigInt(Date.now()) * 1_000_000n;
    await this.#connection.run(Number(count) === 0
      ? `INSERT INTO ${feeds} VALUES (${literal(session)}, ${sequence}, ${ended}, ${now})`
      : `UPDATE ${feeds} SET sequence = ${sequence}, ended = ${ended}, committed = ${now} WHERE session = ${literal(session)}`);
  }

  #writeChunk(batch: Batch, rows: Int32Array, details: Int32Array, totals: readonly { readonly row: number; readonly values: Float64Array }[]): void {
    const { chunk } = this.#chunk;
    const count = rows.length;
    duckdb.data_chunk_reset(chunk);
    duckdb.data_chunk_set_size(chunk, count);
    let column = 0;
    const put = (values: Int32Array | BigInt64Array, width: number) => {
      duckdb.copy_data_to_vector(duckdb.data_chunk_get_vector(chunk, column++), 0, values.buffer as ArrayBuffer, values.byteOffset, count * width);
    };
    const gather = (values: Int32Array) => {
      for (let i = 0; i < count; i++) this.#integers[i] = values[rows[i]!]!;
      put(this.#integers, 4);
    };
    const { columns } = batch;
    const { kind, source, destination, decision, service } = this.#ids;
    for (let i = 0; i < count; i++) {
      this.#times[2 * i] = batch.times[2 * rows[i]!]!;
      this.#times[2 * i + 1] = batch.times[2 * rows[i]! + 1]!;
    }
    put(this.#times, 8);
    for (const values of [kind, source, destination, columns.sourcePort, columns.destinationPort, decision, service, columns.suffix, columns.tally]) gather(values);
    for (let i = 0; i < count; i++) this.#integers[i] = columns.saying[rows[i]!] === 0 ? columns.latency[rows[i]!]! : -1;
    put(this.#integers, 4);
    gather(details);
    for (const values of this.#totals) values.fill(-1n);
    for (let i = 0; i < count; i++) if (columns.saying[rows[i]!] !== 0) this.#setDuration(i, columns.latency[rows[i]!]!);
    for (const { row, values } of totals) {
      const at = indexOf(rows, row);
      if (at >= 0) this.#totals.forEach((totalsColumn, i) => (totalsColumn[at] = BigInt(values[i]!)));
    }
    for (const values of this.#totals) put(values, 8);
    this.#appenders.get('flows')!.appendDataChunk(this.#chunk);
  }

  /** Row of each flow's details, 0 for none: its own, or one that all have who say the same. */
  #details(batch: Batch, dictionary: FeedDictionary): Int32Array {
    const ids = new Int32Array(batch.rows);
    const { saying } = batch.columns;
    for (let i = 0; i < batch.rows; i++) if (saying[i] !== 0) ids[i] = this.#saying(dictionary, saying[i]!);
    for (const [row, text] of batch.details) {
      const number = saying[row]!;
      const whole = number === 0 ? text : `${text.slice(0, -1)},${entryAt(dictionary.sayings, number).slice(1)}`;
      ids[row] = this.#append('details', appender => appender.appendVarchar(whole));
    }
    return ids;
  }

  #setDuration(index: number, ns: number): void {
    this.#durations[2 * index] = ns;
    this.#durations[2 * index + 1] = ns < 0 ? -1 : 0;
  }

  #saying(dictionary: FeedDictionary, number: number): number {
    return (dictionary.rows.sayings[number] ??= this.#newSaying(entryAt(dictionary.sayings, number)));
  }

  #newSaying(text: string): number {
    return this.#remember('details', text, appender => appender.appendVarchar(text));
  }

  #kind(dictionary: FeedDictionary, number: number): number {
    return (dictionary.rows.kinds[number] ??= this.#newKind(entryAt(dictionary.kinds, number)));
  }

  #newKind(entry: KindEntry): number {
    const json = JSON.stringify(entry);
    return this.#remember('kinds', json, appender => {
      for (const text of [entry.nodeName, entry.type, entry.verdict, entry.dropReason, entry.direction, entry.protocol]) appendText(appender, text);
      if (entry.isReply === undefined) appender.appendNull();
      else appender.appendBoolean(entry.isReply);
      appendText(appender, entry.end);
      appender.appendVarchar(json);
    });
  }

  #end(dictionary: FeedDictionary, number: number): number {
    return (dictionary.rows.ends[number] ??= this.#newEnd(dictionary, entryAt(dictionary.ends, number)));
  }

  #newEnd(dictionary: FeedDictionary, entry: EndEntry): number {
    const labels = entry.labels === 0 ? 0 : (dictionary.rows.labels[entry.labels] ??= this.#list('label_sets', entryAt(dictionary.labels, entry.labels)));
    const names = entry.names === 0 ? 0 : (dictionary.rows.names[entry.names] ??= this.#list('name_sets', entryAt(dictionary.names, entry.names)));
    const [workload, ...others] = entry.workloads ?? [];
    return this.#remember('ends', JSON.stringify([entry, labels, names]), appender => {
      appender.appendVarchar(entry.ip);
      if (isAddr(entry.ip)) appender.appendUHugeInt(addrToBigint(parseAddr(entry.ip)));
      else appender.appendNull();
      appender.appendBigInt(BigInt(entry.identity));
      appender.appendBigInt(BigInt(entry.id));
      for (const text of [entry.namespace, entry.podName, entry.clusterName, workload?.kind, workload?.name]) appendText(appender, text);
      appendText(appender, others.length > 0 ? JSON.stringify(entry.workloads) : undefined);
      appender.appendInteger(labels);
      appender.appendInteger(names);
    });
  }

  #list(table: 'label_sets' | 'name_sets', values: readonly string[]): number {
    return this.#remember(table, values.join('\n'), appender => appender.appendList([...values], LIST(VARCHAR)));
  }

  #decision(dictionary: FeedDictionary, number: number): number {
    return (dictionary.rows.decisions[number] ??= this.#newDecision(entryAt(dictionary.decisions, number)));
  }

  #newDecision(entry: DecisionEntry): number {
    const json = JSON.stringify(entry);
    return this.#remember('decisions', json, appender => {
      for (const text of [policyOf(entry), entry.rule?.effect, entry.rule?.path, json]) appendText(appender, text);
    });
  }

  #service(dictionary: FeedDictionary, number: number): number {
    return (dictionary.rows.services[number] ??= this.#newService(entryAt(dictionary.services, number)));
  }

  #newService(entry: ServiceEntry): number {
    return this.#remember('services', JSON.stringify(entry), appender => {
      for (const text of [entry.namespace, entry.name, entry.ip]) appender.appendVarchar(text);
      appender.appendInteger(entry.port);
    });
  }

  #remember(table: DimensionTable, key: string, append: (appender: DuckDBAppender) => void): number {
    const known = this.#known.get(table)!;
    let id = known.get(key);
    if (id === undefined) {
      if (known.size >= (table === 'details' ? mostDetailsRemembered : mostRemembered)) known.clear();
      known.set(key, (id = this.#append(table, append)));
    }
    return id;
  }

  #append(table: DimensionTable, append: (appender: DuckDBAppender) => void): number {
    const id = this.#nextId.get(table)!;
    this.#nextId.set(table, id + 1);
    const appender = this.#appenders.get(table)!;
    appender.appendInteger(id);
    append(appender);
    appender.endRow();
    return id;
  }
}

/** In numbers that rise; -1 where it is not. */
function indexOf(rows: Int32Array, row: number): number {
  let [from, to] = [0, rows.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (rows[middle]! < row) from = middle + 1;
    else to = middle;
  }
  return rows[from] === row ? from : -1;
}

function entryAt<T>(entries: readonly T[], number: number): T {
  const entry = entries[number - 1];
  if (entry === undefined) throw new Error(`the feed's dictionary has no entry ${number}`);
  return entry;
}

function appendText(appender: DuckDBAppender, text: string | undefined): void {
  if (text === undefined) appender.appendNull();
  else appender.appendVarchar(text);
}

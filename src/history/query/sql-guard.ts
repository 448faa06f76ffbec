import type { DuckDBConnection } from '@duckdb/node-api';
import { CirriError } from '../../std/errors.ts';
import { literal, rowsOf } from '../database.ts';

/** What a question may read: the views (views.ts). */
export const viewNames = ['flows', 'gaps'] as const;

/** Functions that stand in FROM and do nothing but count or unfold. All others are refused: some of DuckDB's change its settings or read files. */
const tableFunctions: ReadonlySet<string> = new Set(['range', 'generate_series', 'unnest']);
/** Scalar functions with an effect, or with a view of the process. */
const refusedFunctions = /^(?:nextval|currval|setseed|write_log|getvariable|current_setting|getenv|query|query_table|json_execute_serialized_sql|pragma_.*|duckdb_.*|read_.*|sleep.*|txid_current|current_database|current_schemas?|in_search_path|.*secret.*)$/;
const longestSql = 20_000;

/**
 * Lets one SELECT over the views through and nothing else. DuckDB's own parser says what the text is; the database cannot reach
 * files either (database.ts), but a SELECT could still call what changes its state.
 */
export async function guardSql(connection: DuckDBConnection, sql: string): Promise<void> {
  if (sql.length > longestSql) throw refused(`a statement of ${sql.length} characters; at most ${longestSql}`);
  const [[text] = ['']] = await rowsOf(connection, `SELECT json_serialize_sql(${literal(sql)})::VARCHAR`);
  const tree = JSON.parse(String(text)) as { readonly error: boolean; readonly error_message?: string; readonly statements?: readonly unknown[] };
  if (tree.error) throw refused(tree.error_message ?? 'not a SELECT');
  if (tree.statements?.length !== 1) throw refused(`${tree.statements?.length ?? 0} statements; one is answered`);
  walk(tree.statements[0], new Set());
}

function walk(value: unknown, outerNames: ReadonlySet<string>): void {
  if (Array.isArray(value)) return value.forEach(entry => walk(entry, outerNames));
  if (value === null || typeof value !== 'object') return;
  const node = value as Readonly<Record<string, unknown>>;
  // Names of WITH hold in the query that has them and in what is inside it.
  const map = (node['cte_map'] as { readonly map?: readonly { readonly key: string }[] } | undefined)?.map ?? [];
  const names = map.length === 0 ? outerNames : new Set([...outerNames, ...map.map(({ key }) => key.toLowerCase())]);
  const type = String(node['type'] ?? '');
  if (type === 'BASE_TABLE') checkTable(node, names);
  else if (type === 'TABLE_FUNCTION') checkTableFunction(node);
  else if (type === 'SHOW_REF' || type === 'COLUMN_DATA' || type === 'PIVOT') throw refused(`${type} is not answered`);
  else if (node['class'] === 'FUNCTION' && refusedFunctions.test(String(node['function_name']).toLowerCase())) throw refused(`the function ${String(node['function_name'])} is not answered`);
  for (const entry of Object.values(node)) walk(entry, names);
}

function checkTable(node: Readonly<Record<string, unknown>>, names: ReadonlySet<string>): void {
  const table = String(node['table_name']);
  const place = [node['catalog_name'], node['schema_name']].filter(part => part !== undefined && part !== '');
  if (place.length === 0 && (names.has(table.toLowerCase()) || (viewNames as readonly string[]).includes(table.toLowerCase()))) return;
  throw refused(`there is no table ${[...place, table].join('.')}`, `known: ${viewNames.join(', ')}`);
}

function checkTableFunction(node: Readonly<Record<string, unknown>>): void {
  const called = node['function'] as { readonly function_name?: string } | undefined;
  const name = String(called?.function_name ?? '').toLowerCase();
  if (!tableFunctions.has(name)) throw refused(`the table function ${name} is not answered`, `known: ${[...tableFunctions].join(', ')}`);
}

function refused(message: string, mend = 'one SELECT over the views of docs/history.md is answered'): CirriError {
  return new CirriError('ERR_HISTORY_SQL', `SQL: ${message}`, { mend });
}

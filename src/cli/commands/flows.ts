import type { Command } from 'commander';
import { registerExport } from '../flows/export.ts';
import { registerQuery } from '../flows/query.ts';
import { registerReport } from '../flows/report.ts';
import { registerSql } from '../flows/sql.ts';
import { registerStatus } from '../flows/status.ts';

export function register(program: Command): void {
  const flows = program.command('flows').summary('flows of the past: query, sql, export, status, report').description("The flow history: every flow of every node, for days. What was lost on the way is said with each answer.");
  registerQuery(flows);
  registerSql(flows);
  registerExport(flows);
  registerStatus(flows);
  registerReport(flows);
}

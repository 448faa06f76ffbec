import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { dashboardFiles, prometheusConfig } from '../../metrics/dashboards/files.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';
import { line } from '../output.ts';

export function register(program: Command): void {
  program.command('dashboards')
    .summary('write Grafana dashboards, and a configuration for Prometheus')
    .description('Writes three dashboards for Grafana into a folder, and a prometheus.yml with the nodes of the cluster as targets.')
    .argument('<folder>', 'made when it is not there; files of these names are replaced')
    .option('--interval <seconds>', 'how often Prometheus asks', '5')
    .addHelpText('after', `
Examples:
  sudo ./cirri dashboards /tmp/monitoring
  prometheus --config.file=/tmp/monitoring/prometheus.yml --storage.tsdb.path=/tmp/monitoring/data --web.listen-address=127.0.0.1:9090`)
    .action((folder: string, flags: { interval: string }) => {
      const interval = Number(flags.interval);
      if (!Number.isInteger(interval) || interval < 1 || interval > 3600) throw new CirriError('ERR_FLAG', `--interval must be a number of seconds from 1 to 3600, not ${flags.interval}`);
      const context = openContext();
      context.client.close();
      const targets = context.record.nodes.map(({ name, underlay4 }) => ({ node: name, host: underlay4 }));
      mkdirSync(folder, { recursive: true });
      const files = new Map([...dashboardFiles(), ['prometheus.yml', prometheusConfig(targets, interval)]]);
      for (const [name, text] of files) {
        writeFileSync(join(folder, name), text);
        line(join(folder, name));
      }
    });
}

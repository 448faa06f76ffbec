import { stringify } from 'yaml';
import { dropsAndPolicy } from './drops.ts';
import { toGrafana, type DashboardSpec } from './grafana.ts';
import { dnsAndHttp } from './names.ts';
import { traffic } from './traffic.ts';

export const dashboards: readonly DashboardSpec[] = [traffic, dropsAndPolicy, dnsAndHttp];

/** Name of the file → Grafana's JSON. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map(dashboards.map(spec => [`${spec.uid}.json`, `${JSON.stringify(toGrafana(spec), undefined, 2)}\n`]));
}

export interface ScrapeTarget {
  readonly node: string;
  /** As it stands in a URL: IPv6 in brackets. */
  readonly host: string;
}

/** Configuration of a Prometheus that scrapes these nodes; its series have the label `node` that the dashboards choose by. */
export function prometheusConfig(targets: readonly ScrapeTarget[], intervalSeconds: number): string {
  const job = (name: string, port: number) => ({ job_name: name, static_configs: targets.map(({ node, host }) => ({ targets: [`${host}:${port}`], labels: { node } })) });
  return stringify({ global: { scrape_interval: `${intervalSeconds}s`, scrape_timeout: `${Math.min(intervalSeconds, 10)}s` }, scrape_configs: [job('hubble-metrics', 9965), job('cilium-agent', 9962)] });
}

import { readdirSync, readFileSync } from 'node:fs';
import { labelText, type MetricFamily } from './exposition.ts';

/**
 * The process itself, by the names of Prometheus' client libraries. Read when asked: no timer and no observer runs between two
 * scrapes.
 */
export async function processFamilies(): Promise<MetricFamily[]> {
  const { user, system } = process.cpuUsage();
  const memory = process.memoryUsage();
  const lag = await eventLoopLag();
  const one = (type: 'gauge' | 'counter', name: string, help: string, value: number, labels = ''): MetricFamily => ({ name, help, type, series: [{ labels, value }] });
  return [
    one('counter', 'process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.', (user + system) / 1e6),
    one('gauge', 'process_resident_memory_bytes', 'Resident memory size in bytes.', memory.rss),
    one('gauge', 'process_virtual_memory_bytes', 'Virtual memory size in bytes.', virtualBytes()),
    one('gauge', 'process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', (performance.timeOrigin / 1000)),
    one('gauge', 'process_open_fds', 'Number of open file descriptors.', readdirSync('/proc/self/fd').length - 1),
    one('gauge', 'process_max_fds', 'Maximum number of open file descriptors.', maxDescriptors()),
    one('gauge', 'nodejs_heap_size_total_bytes', 'Process heap size from Node.js in bytes.', memory.heapTotal),
    one('gauge', 'nodejs_heap_size_used_bytes', 'Process heap size used from Node.js in bytes.', memory.heapUsed),
    one('gauge', 'nodejs_external_memory_bytes', 'Node.js external memory size in bytes.', memory.external),
    one('gauge', 'nodejs_eventloop_lag_seconds', 'How long a turn of the event loop took as this was asked for.', lag),
    one('counter', 'nodejs_eventloop_active_seconds_total', 'Time in which the event loop was not waiting.', performance.eventLoopUtilization().active / 1000),
    one('gauge', 'nodejs_version_info', 'Node.js version info.', 1, labelText({ version: process.version })),
  ];
}

function eventLoopLag(): Promise<number> {
  const asked = performance.now();
  return new Promise(resolve => setImmediate(() => resolve((performance.now() - asked) / 1000)));
}

function virtualBytes(): number {
  return Number(/^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

function maxDescriptors(): number {
  const text = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return text === undefined || text === 'unlimited' ? Infinity : Number(text);
}

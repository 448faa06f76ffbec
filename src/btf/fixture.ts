/** For tests: compiles BPF C into a temporary folder. Two seconds of clang, once a test file. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PRELUDE = `
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "Dual BSD/GPL";
`;

export interface Fixture {
  readonly path: string;
  remove(): void;
}

export function compileBpf(source: string): Fixture {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-bpf-'));
  const path = join(folder, 'test.bpf.o');
  const include = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const flags = ['-target', 'bpf', '-O2', '-g', '-mcpu=v3', '-I', include, '-x', 'c', '-', '-c', '-o', path];
  try {
    writeFileSync(join(folder, 'test.bpf.c'), PRELUDE + source);
    execFileSync('clang-19', flags, { input: PRELUDE + source, stdio: ['pipe', 'ignore', 'pipe'] });
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return { path, remove: () => rmSync(folder, { recursive: true }) };
}

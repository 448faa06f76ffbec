/**
 * Writes src/hubble/generated from src/hubble/proto. Needed after a change of a .proto file only: the output is committed and
 * a test compares the two. Fetches buf and protoc-gen-es with npx, at the versions named here.
 *
 *     node tools/proto.ts
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const packages = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0'];
const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'src/hubble/generated');

rmSync(out, { recursive: true, force: true });
const folder = mkdtempSync(join(tmpdir(), 'cirri-proto-'));
try {
  const template = join(folder, 'buf.gen.yaml');
  writeFileSync(template, JSON.stringify({ version: 'v2', plugins: [{ local: 'protoc-gen-es', out, opt: ['target=js+dts', 'import_extension=js'] }] }));
  execFileSync('npx', ['--yes', ...packages.flatMap(name => ['--package', name]), '--', 'buf', 'generate', '--template', template, join(root, 'src/hubble/proto')], { stdio: 'inherit', cwd: folder });
} finally {
  rmSync(folder, { recursive: true });
}

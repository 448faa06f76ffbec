import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ScalarType, type DescEnum, type DescField, type DescFile, type DescMessage } from '@bufbuild/protobuf';
import { file_cirri } from './generated/cirri_pb.js';
import { file_flow } from './generated/flow_pb.js';
import { file_grpc_health_v1_health } from './generated/grpc/health/v1/health_pb.js';
import { file_grpc_reflection_v1_reflection } from './generated/grpc/reflection/v1/reflection_pb.js';
import { file_grpc_reflection_v1alpha_reflection } from './generated/grpc/reflection/v1alpha/reflection_pb.js';
import { file_observer } from './generated/observer_pb.js';
import { file_peer } from './generated/peer_pb.js';
import { file_relay } from './generated/relay_pb.js';

const folder = fileURLToPath(new URL('proto/', import.meta.url));
const files: readonly DescFile[] = [
  file_cirri, file_flow, file_grpc_health_v1_health, file_grpc_reflection_v1_reflection, file_grpc_reflection_v1alpha_reflection, file_observer, file_peer, file_relay,
];

/**
 * A .proto file as lines: `message Flow.uuid = 34 string`, `enum Verdict.DROPPED = 2`, `rpc Observer.GetFlows(A) stream B`.
 * Reads what is written in src/hubble/proto, not the whole language.
 */
function linesOfText(text: string): string[] {
  const lines: string[] = [];
  const scope: { kind: string; name: string }[] = [];
  for (const line of text.split('\n').map(raw => raw.replace(/\/\/.*/, '').trim())) {
    const open = /^(message|enum|service|oneof) (\w+) \{$/.exec(line);
    const path = () => scope.filter(({ kind }) => kind !== 'oneof').map(({ name }) => name).join('.');
    const oneof = scope.at(-1)?.kind === 'oneof' ? ` in ${scope.at(-1)!.name}` : '';
    const field = /^(repeated )?([\w.]+) (\w+) = (\d+)( \[deprecated = true\])?;$/.exec(line);
    const value = /^(\w+) = (\d+)( \[deprecated = true\])?;$/.exec(line);
    const rpc = /^rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\);$/.exec(line);
    if (open) scope.push({ kind: open[1]!, name: open[2]! });
    else if (line === '}') scope.pop();
    else if (value) lines.push(`enum ${path()}.${value[1]} = ${value[2]}${value[3] ? ' old' : ''}`);
    else if (field) lines.push(`message ${path()}.${field[3]} = ${field[4]} ${field[1] ?? ''}${field[2]!.split('.').at(-1)}${oneof}${field[5] ? ' old' : ''}`);
    else if (rpc) lines.push(`rpc ${path()}.${rpc[1]}(${rpc[2] ?? ''}${rpc[3]}) ${rpc[4] ?? ''}${rpc[5]}`);
    else if (line !== '' && !/^(syntax|package|import|reserved) /.test(line)) assert.fail(`not understood: ${line}`);
  }
  return lines.sort();
}

function linesOfDescriptor(file: DescFile): string[] {
  const lines: string[] = [];
  const pathOf = (desc: DescMessage | DescEnum) => desc.typeName.slice(file.proto.package.length + 1);
  const old = (deprecated: boolean) => (deprecated ? ' old' : '');
  const addEnum = (desc: DescEnum) => desc.values.forEach(value => lines.push(`enum ${pathOf(desc)}.${value.name} = ${value.number}${old(value.deprecated)}`));
  const addMessage = (desc: DescMessage): void => {
    for (const field of desc.fields) lines.push(`message ${pathOf(desc)}.${field.name} = ${field.number} ${typeOf(field)}${field.oneof ? ` in ${field.oneof.name}` : ''}${old(field.deprecated)}`);
    desc.nestedEnums.forEach(addEnum);
    desc.nestedMessages.forEach(addMessage);
  };
  file.enums.forEach(addEnum);
  file.messages.forEach(addMessage);
  for (const service of file.services) {
    for (const { name, methodKind, input, output } of service.methods) {
      const [clientStreams, serverStreams] = [methodKind === 'client_streaming' || methodKind === 'bidi_streaming', methodKind === 'server_streaming' || methodKind === 'bidi_streaming'];
      lines.push(`rpc ${service.name}.${name}(${clientStreams ? 'stream ' : ''}${input.name}) ${serverStreams ? 'stream ' : ''}${output.name}`);
    }
  }
  return lines.sort();
}

function typeOf(field: DescField): string {
  const isList = field.fieldKind === 'list';
  const name = field.message?.name ?? field.enum?.name ?? ScalarType[field.scalar!].toLowerCase();
  return `${isList ? 'repeated ' : ''}${name}`;
}

test('the generated descriptors say what the .proto files say (node tools/proto.ts mends it)', () => {
  const paths = globSync('**/*.proto', { cwd: folder }).sort();
  assert.deepEqual(files.map(file => `${file.name}.proto`).sort(), paths);
  for (const path of paths) {
    const text = readFileSync(folder + path, 'utf8');
    const file = files.find(({ name }) => `${name}.proto` === path)!;
    assert.equal(file.proto.package, /^package (.*);$/m.exec(text)?.[1]);
    const lines = linesOfText(text);
    assert.ok(lines.length > 5, path);
    assert.deepEqual(linesOfDescriptor(file), lines, path);
  }
});

/** A program that does nothing: what a test run costs by itself. */
import { callBpf, command, setAddress } from '../../../src/ebpf/bpf.ts';
import { programOf, type BpfProgram } from '../../../src/ebpf/program.ts';
import { stable, stableString } from '../../../src/sys/memory.ts';

const schedCls = 3;

/** `r0 = 0; exit` at the hook of `from_pod`. It lives as long as the process. */
export function emptyProgram(): BpfProgram {
  const code = stable(16);
  code.view.setUint8(0, 0xb7);
  code.view.setUint8(8, 0x95);
  const licence = stableString('Dual BSD/GPL');
  const fd = callBpf(command.progLoad, 128, 'loading an empty program', view => {
    view.setUint32(0, schedCls, true);
    view.setUint32(4, 2, true);
    setAddress(view, 8, code);
    setAddress(view, 16, licence);
  });
  return programOf('empty', fd);
}

/** Many packets through a program in one call of the kernel, each made anew (speed.bpf.c); `make -C bpf ../build/speed.bpf.o` builds it. */
import { fileURLToPath } from 'node:url';
import { callBpf, command, setAddress } from '../../src/ebpf/bpf.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { stable } from '../../src/sys/memory.ts';

/** What is made anew of a packet, which must be at least as long. */
export const templateBytes = 128;

export interface MillOptions {
  readonly repeat: number;
  /** A port in the packet that counts up from `first` with each run; offset 0 = none. */
  readonly port: { readonly offset: number; readonly first: number };
}

export class PacketMill {
  readonly #object = BpfObject.load({ path: fileURLToPath(new URL('../../build/speed.bpf.o', import.meta.url)) });

  /** A program that does nothing: what the mill itself takes. */
  get nothing(): number {
    return this.#object.program('speed_nothing').fd;
  }

  /** Mean nanoseconds of a run of the program with this descriptor. */
  run(program: number, frame: Uint8Array, { repeat, port }: MillOptions): number {
    if (frame.length < templateBytes) throw new RangeError(`a frame of ${frame.length} bytes is shorter than ${templateBytes}`);
    this.#write('speed_target', Uint32Array.of(program));
    this.#write('speed_template', Uint32Array.of(port.offset, port.first), frame.subarray(0, templateBytes));
    return this.#object.program('speed_restore').testRun({ data: frame, repeat }).durationNs;
  }

  #write(map: string, numbers: Uint32Array, bytes: Uint8Array = new Uint8Array(0)): void {
    const key = stable(4);
    const value = stable(numbers.byteLength + bytes.length);
    value.bytes.set(new Uint8Array(numbers.buffer));
    value.bytes.set(bytes, numbers.byteLength);
    callBpf(command.mapUpdate, 32, `writing ${map}`, view => {
      view.setUint32(0, this.#object.mapFd(map)!, true);
      setAddress(view, 8, key);
      setAddress(view, 16, value);
    });
  }

  close(): void {
    this.#object.close();
  }
}

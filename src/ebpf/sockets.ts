/** Programs on a map of sockets (SOCKMAP, SOCKHASH). */
import { attachType, callBpf, command } from './bpf.ts';
import type { Attachable } from './link.ts';

/**
 * Sockets that join the map from now on run `program` (type sk_msg) for each message that they send; sockets that are in it keep what
 * they have. Stays as long as the map is open or pinned. Not a link: those came with Linux 6.10, and hold no longer than this.
 */
export function attachMessageProgram(map: { readonly fd: number; readonly spec: { readonly name: string } }, program: Attachable): void {
  callBpf(command.progAttach, 20, `attaching ${program.name} to map ${map.spec.name}`, view => {
    [map.fd, program.fd, attachType.skMsgVerdict, 0, 0].forEach((n, i) => view.setUint32(i * 4, n, true));
  });
}

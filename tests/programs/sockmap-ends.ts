/** One Python process that holds both ends of connections between pods: a test says what either end does, statement by statement. */
import type { Running, SockmapRig } from './sockmap-rig.ts';

const HELPERS = `
import ctypes, errno, fcntl, json, os, select, socket, struct, sys, termios, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def enter(pod):
    fd = os.open('/run/netns/' + pod, os.O_RDONLY); assert libc.setns(fd, 0x40000000) == 0; os.close(fd)
def pair(address, accepted=True):
    global c, s, l
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    enter(B); l = socket.socket(socket.AF_INET6); l.bind(('::', 0)); l.listen(8)
    enter(A); c = socket.socket(family); c.settimeout(5); c.connect((address, l.getsockname()[1]))
    s = None
    if accepted: s = l.accept()[0]; s.settimeout(5)
    for end in (c, s):
        if end: end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def stack_bytes(end):
    "Payload that came to this end through the stack: tcpi_bytes_received."
    return struct.unpack_from('Q', end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 128)[0]
def unacknowledged(end):
    room = bytearray(4); fcntl.ioctl(end, termios.TIOCOUTQ, room); return struct.unpack('i', room)[0]
def read(end, size):
    data = b''
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more: break
        data += more
    return data
def carry(sender, receiver, data):
    "Sends and reads; 'stack' or 'direct', by which way it came."
    before = stack_bytes(receiver); sender.sendall(data); assert read(receiver, len(data)) == data
    return 'direct' if stack_bytes(receiver) == before else 'stack'
def settle(sender, receiver):
    "Until messages go directly again."
    for i in range(50):
        if carry(sender, receiver, b'?') == 'direct': return
        time.sleep(0.002)
    raise Exception('never direct')
def failing(call):
    try: call()
    except OSError as e: return errno.errorcode.get(e.errno, type(e).__name__) if e.errno else type(e).__name__
    return 'ok'
for line in sys.stdin:
    try:
        exec(json.loads(line), globals()); print(json.dumps({'result': globals().pop('result', None)}), flush=True)
    except Exception:
        import traceback; print(json.dumps({'error': traceback.format_exc()[-800:]}), flush=True)
`;

export class Ends {
  readonly #python: Running;

  constructor(rig: SockmapRig) {
    this.#python = rig.start('n', ['python3', '-c', `A, B, NODE = '${rig.namespace('a')}', '${rig.namespace('b')}', '${rig.namespace('n')}'\n${HELPERS}`], 'pipe');
  }

  /** Runs statements, with `c` and `s` as the ends that `pair` made; gives what they leave in `result`. */
  async run(statements: string): Promise<unknown> {
    this.#python.child.stdin!.write(`${JSON.stringify(statements)}\n`);
    const line = await this.#python.line();
    if (line === undefined) throw new Error('python ended');
    const { result, error } = JSON.parse(line) as { result: unknown; error?: string };
    if (error) throw new Error(error);
    return result;
  }

  /** At once, whatever it waits for. */
  async close(): Promise<void> {
    this.#python.child.kill('SIGKILL');
    await this.#python.exit;
  }
}

/**
 * Puts the items that the client knows in its order. Those that only the server has stay where they were among their
 * neighbours: before the first client item that followed them on the server.
 */
export function orderItems<T>(items: readonly T[], server: readonly T[], client: readonly T[], identity: (item: T) => string): T[] {
  const wanted = new Map(client.map((item, i) => [identity(item), i]));
  const place = new Map(server.map((item, i) => [identity(item), i]));
  const known = items.filter(item => wanted.has(identity(item))).sort((a, b) => wanted.get(identity(a))! - wanted.get(identity(b))!);
  const serverOnly = items.filter(item => !wanted.has(identity(item)));
  const result: T[] = [];
  let next = 0;
  for (const item of known) {
    const at = place.get(identity(item));
    while (at !== undefined && next < serverOnly.length && (place.get(identity(serverOnly[next]!)) ?? Infinity) < at) result.push(serverOnly[next++]!);
    result.push(item);
  }
  return [...result, ...serverOnly.slice(next)];
}

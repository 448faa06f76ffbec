/** For an option that may be given again and again: all of them, in order. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

import { useLayoutEffect, useReducer } from 'preact/hooks';

/** A value that is told when it changes. */
export class Store<T> {
  #value: T;
  readonly #listeners = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of this.#listeners) listener();
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

/** The store's value; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const { value } = store;
  useLayoutEffect(() => {
    const stop = store.listen(() => redraw(undefined as never));
    // What changed between the drawing and here has been told to nobody.
    if (!Object.is(store.value, value)) redraw(undefined as never);
    return stop;
  }, [store]);
  return value;
}

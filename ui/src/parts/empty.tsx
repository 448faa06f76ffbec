import type { ComponentChildren } from 'preact';

/** What stands where there is nothing to show, with a way on. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return <div class="empty" role="status"><p class="empty-title">{title}</p>{children !== undefined && <div class="dim">{children}</div>}</div>;
}

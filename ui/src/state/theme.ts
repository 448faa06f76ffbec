import { Store } from './store.ts';

export type Theme = 'light' | 'dark';

const key = 'cirri-theme';
const system = matchMedia('(prefers-color-scheme: dark)');

function chosen(): Theme | undefined {
  try {
    const kept = localStorage.getItem(key);
    return kept === 'light' || kept === 'dark' ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** As the system has it, until somebody chooses otherwise. */
export const theme = new Store<Theme>(chosen() ?? (system.matches ? 'dark' : 'light'));

document.documentElement.dataset['theme'] = theme.value;
system.addEventListener('change', () => chosen() === undefined && show(system.matches ? 'dark' : 'light'));

function show(next: Theme): void {
  document.documentElement.dataset['theme'] = next;
  theme.set(next);
}

export function switchTheme(): void {
  const next = theme.value === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(key, next);
  } catch {
    // For this visit, then.
  }
  show(next);
}

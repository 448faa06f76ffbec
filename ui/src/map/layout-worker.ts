import { layout, type LayoutLink, type LayoutNode, type Places } from './layout.ts';

export interface LayoutQuestion {
  readonly number: number;
  readonly nodes: readonly LayoutNode[];
  readonly links: readonly LayoutLink[];
  readonly known: Places;
}

export interface LayoutAnswer {
  readonly number: number;
  readonly places: Places;
}

const scope = globalThis as unknown as { onmessage: (event: MessageEvent<LayoutQuestion>) => void; postMessage(answer: LayoutAnswer): void };

scope.onmessage = ({ data }) => scope.postMessage({ number: data.number, places: layout(data.nodes, data.links, data.known) });

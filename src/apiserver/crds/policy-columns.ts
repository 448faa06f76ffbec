import type { PrinterColumn } from './definition.ts';

export const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since the object was made.' };

const condition = (name: string, description: string): PrinterColumn => ({ name, type: 'string', jsonPath: `.status.conditions[?(@.type=="${name}")].status`, description });

export const valid: PrinterColumn = condition('Valid', 'Whether the policy is valid.');

/** Wide only: upstream has no such column, and scripts count columns. */
export const enforced: PrinterColumn = { ...condition('Enforced', 'Whether every node enforces it.'), priority: 1 };

export interface LookUpWish {
  readonly server: string;
  /** Looked up one after the other. */
  readonly names: readonly string[];
  /** Where to connect after each; left out: nowhere. */
  readonly port?: number;
  readonly family?: 4 | 6;
  /** Answers of up to 4,096 bytes over UDP. */
  readonly large?: true;
  readonly timeoutMs?: number;
}

export interface LookUps {
  readonly lookups: number;
  /** By code: EREFUSED, ENOTFOUND, ETIMEOUT. */
  readonly failed: Record<string, number>;
  readonly connected: number;
  /** By code; `silent`: no answer in time. */
  readonly refused: Record<string, number>;
  /** Different ones. */
  readonly addresses: number;
}

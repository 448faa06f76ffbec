import { CirriError } from '../std/errors.ts';

/** An object file or its BTF that cannot be read, or a type that has no form in TypeScript. */
export class BtfError extends CirriError {
  constructor(message: string, options: { mend?: string; cause?: unknown } = {}) {
    super('ERR_BTF', message, options);
    this.name = 'BtfError';
  }
}

/** Loaded before each test file by `cirri test`: all properties of a run begin with its seed. */
import fc from 'fast-check';
import { seedOfRun } from './differential/random.ts';

fc.configureGlobal({ seed: seedOfRun() });

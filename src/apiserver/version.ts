import type { JsonObject } from './object.ts';

/** What /version says: kubectl reads major, minor and gitVersion and compares them with its own. */
export const serverVersion: JsonObject = {
  major: '1', minor: '33', emulationMajor: '1', emulationMinor: '33', minCompatibilityMajor: '1', minCompatibilityMinor: '20',
  gitVersion: 'v1.33.0-cirri', gitCommit: '', gitTreeState: 'clean', buildDate: '2026-01-01T00:00:00Z', goVersion: '', compiler: 'node',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

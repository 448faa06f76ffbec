/** Cases in which we knowingly answer otherwise than the source, each with the reason. */
export const deviations: Readonly<Record<string, string>> = {
  'cilium-parse-label-05': 'the expected text is the source test\'s constructor argument; the constructor itself splits it again and gives source::key1',
  'cilium-valid-rules-testrulemarshalling-01': 'the source tests JSON marshalling only; its own validation refuses a rule without selector and directions',
};

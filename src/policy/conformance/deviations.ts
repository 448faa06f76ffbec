/** Cases in which we knowingly answer otherwise than the source, each with the reason. */
export const deviations: Readonly<Record<string, string>> = {
  'hubble-filter-cel-expression-testcelexpressionfilter-04': 'CEL expressions are refused by name: there is no evaluator of CEL here, and half of one would be worse than none',
  'hubble-filter-event-type-testeventtypefilter-02': 'one of its events is of the agent, which the published form of the case does not tell from an empty flow; agent events have a call of their own here',
  'hubble-filter-event-type-testeventtypefilter-03': 'filters agent events by type; here they have a call of their own (GetAgentEvents) and filters are over flows',
  'cilium-parse-label-05': 'the expected text is the source test\'s constructor argument; the constructor itself splits it again and gives source::key1',
  'cilium-valid-rules-testrulemarshalling-01': 'the source tests JSON marshalling only; its own validation refuses a rule without selector and directions',
  'hubble-test-getflowtype-01': 'the flow of the source has an HTTP record with nothing in it, which the published form of the case lost: what is left is an answer of no protocol',
};

/** The same for published manifests, by path. */
export const exampleDeviations: Readonly<Record<string, string>> = {
  'valid/cilium/examples/policies/auth/auth.yaml': 'has a field that no version knows (auth); unknown fields are refused, because a mistyped one can mean "anyone"',
  'valid/cilium/test/k8s/manifests/ccnp-host-policy-nodeport-tests.yaml': 'a template: an address is a placeholder',
  'valid/cilium/test/k8s/manifests/cnp-ingress-from-cidr-to-ports.yaml': 'a template: an address is a placeholder',
  'invalid/np-guard/semanticDiff-same-topologies-illegal-podlist/old1.yaml': 'the policy is valid; the source refuses the pods beside it',
  'invalid/np-guard/example_pods_w_same_owner_and_labels_gap_with_bad_match_expression/netpol.yaml': 'the policy is valid; the source refuses the pods beside it',
  'invalid/np-guard/anp_bad_path_test_1/anps.yaml': 'two policies of one priority: the API leaves open which is asked first and takes both; the name settles it here',
  'invalid/np-guard/banp_bad_path_test_1/banps.yaml': 'the same object twice: the second is an update of the first',
  'valid/cilium-rule-validation/cilium-valid-rules-testrulemarshalling-01.yaml': 'as cilium-valid-rules-testrulemarshalling-01 above',
};

/** What scope adds to every selector, in fewer words: the cluster is left out, the namespace is `in demo`. */
export function readable(text: string): string {
  return text
    .replaceAll(/,? ?k8s:io\.cilium\.k8s\.policy\.cluster=[\w.-]+/g, '')
    .replaceAll(/(?:, )?k8s:io\.cilium\.k8s\.namespace\.labels\.kubernetes\.io\/metadata\.name=([\w.-]+)(?:, k8s:io\.kubernetes\.pod\.namespace(?![\w.=]))?/g, ' in $1')
    .replaceAll(/(?:, )?k8s:io\.kubernetes\.pod\.namespace=([\w.-]+)/g, ' in $1')
    .replaceAll(/(?:, )?k8s:io\.kubernetes\.pod\.namespace(?![\w.=])/g, ' in any namespace')
    .replaceAll(/ {2,}/g, ' ').replaceAll(/^, |(?<= ), /g, '').trim();
}

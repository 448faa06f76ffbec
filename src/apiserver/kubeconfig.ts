/** A kubeconfig with one cluster, one user and one context, all of the same name. JSON is YAML too, but people read this file. */
export function renderKubeconfig(o: { name: string; server: string; ca: string; token: string }): string {
  return `apiVersion: v1
kind: Config
clusters:
- name: ${o.name}
  cluster:
    server: ${o.server}
    certificate-authority-data: ${Buffer.from(o.ca).toString('base64')}
users:
- name: ${o.name}
  user:
    token: ${o.token}
contexts:
- name: ${o.name}
  context:
    cluster: ${o.name}
    user: ${o.name}
    namespace: default
current-context: ${o.name}
`;
}

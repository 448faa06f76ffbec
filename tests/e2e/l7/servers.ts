/** Pods with real HTTP servers: the host's own nginx and Node, which say on standard output who asked them for what. */

/** nginx: `200 PATH` for everything; its log has the peer's address, the request line and the status. */
export function nginxPod(namespace: string, name: string, node: string, labels: Readonly<Record<string, string>>, port: number): string {
  const config = `user root; daemon off; worker_processes 1; pid /tmp/nginx.pid; error_log /dev/stderr; events { } http { log_format seen '$remote_addr "$request" $status'; access_log /dev/stdout seen; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; server { listen ${port}; listen [::]:${port}; client_max_body_size 0; location / { return 200 "$request_uri\\n"; } } }`;
  return serverPod(namespace, name, node, labels, port, `cat > /tmp/nginx.conf <<'END'\n${config}\nEND\nexec nginx -c /tmp/nginx.conf`);
}

/** Node: the method, the length of the body and the headers as JSON; 30 MB for `/big`; WebSocket-like upgrades are echoed. */
export function nodePod(namespace: string, name: string, node: string, labels: Readonly<Record<string, string>>, port: number, binary: string): string {
  const program = `const http = require('http'); const server = http.createServer((q, a) => { let n = 0; q.on('data', d => { n += d.length; }); q.on('end', () => { console.log(q.socket.remoteAddress.replace('::ffff:', ''), q.method, q.url); a.end(q.url === '/big' ? Buffer.alloc(30 << 20, 'cirri') : JSON.stringify({ method: q.method, url: q.url, bytes: n, headers: q.headers }) + '\\n'); }); }); server.on('upgrade', (q, s) => { s.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'); s.pipe(s); }); server.listen(${port}, '::');`;
  return serverPod(namespace, name, node, labels, port, `cat > /tmp/server.js <<'END'\n${program}\nEND\nexec ${binary} /tmp/server.js`);
}

function serverPod(namespace: string, name: string, node: string, labels: Readonly<Record<string, string>>, port: number, script: string): string {
  return `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${namespace}, labels: ${JSON.stringify(labels)} }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: server
      command: ["sh", "-c", ${JSON.stringify(script)}]
      ports: [ { containerPort: ${port} } ]
      readinessProbe: { tcpSocket: { port: ${port} }, periodSeconds: 1 }
`;
}

export function serviceYaml(namespace: string, name: string, app: string, port: number, targetPort: number, nodePort?: number): string {
  return `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { ${nodePort === undefined ? '' : 'type: NodePort, '}selector: { app: ${app} }, ports: [ { port: ${port}, targetPort: ${targetPort}${nodePort === undefined ? '' : `, nodePort: ${nodePort}`} } ] }
`;
}

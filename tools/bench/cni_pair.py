#!/usr/bin/env python3
"""cni_pair.py PODS REPS CIRRI_PLUGIN SOCKET: ADD and DEL of the standard bridge + host-local plugins and of ours, pod by pod in turn.
Run inside a namespace of its own (the bridge is made there). Prints one JSON object of milliseconds."""
import json, os, shutil, subprocess, sys, time

pods, reps, plugin, socket = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
data = os.path.join(os.path.dirname(socket), "host-local")
bridge = {"cniVersion": "1.0.0", "name": "pbnet", "type": "bridge", "bridge": "pbbr0", "isGateway": True, "ipMasq": False,
          "ipam": {"type": "host-local", "dataDir": data, "ranges": [[{"subnet": "10.250.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}}
ours = {"cniVersion": "1.0.0", "name": "cirri", "type": "cirri-cni", "socket": socket}
kinds = {"bridge": ("/usr/lib/cni/bridge", bridge), "cirri": (plugin, ours)}


def call(kind, command, i):
    path, config = kinds[kind]
    name = "pbc%s%d" % (kind[0], i)
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": name, "CNI_NETNS": "/run/netns/" + name, "CNI_IFNAME": "eth0", "CNI_PATH": "/usr/lib/cni",
           "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-%d" % i, "PATH": os.environ["PATH"]}
    text = json.dumps(config)
    start = time.perf_counter()
    done = subprocess.run([path], input=text, env=env, capture_output=True, text=True)
    ms = (time.perf_counter() - start) * 1e3
    if done.returncode:
        raise SystemExit("%s %s failed: %s %s" % (kind, command, done.stdout, done.stderr))
    return ms


times = {kind: {"ADD": [], "DEL": []} for kind in kinds}
for rep in range(reps):
    shutil.rmtree(data, ignore_errors=True)
    names = ["pbc%s%d" % (kind[0], i) for kind in kinds for i in range(pods)]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in ("ADD", "DEL"):
            for i in range(pods):
                for kind in sorted(kinds, reverse=(i + rep) % 2 == 1):
                    times[kind][command].append(call(kind, command, i))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name])
print(json.dumps(times))

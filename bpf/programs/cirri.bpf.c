// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* One object for all hooks, so that maps, config and BTF exist once. */
#include "catalogue.h"

#include "pod.bpf.c"
#include "http.bpf.c"
#include "proxy.bpf.c"
#include "host.bpf.c"
#include "overlay.bpf.c"
#include "names.bpf.c"
#include "sock.bpf.c"
#include "sweep.bpf.c"
#include "sockmap.bpf.c"
#include "xdp.bpf.c"
#include "socket_end.bpf.c"
#include "http_trial.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
